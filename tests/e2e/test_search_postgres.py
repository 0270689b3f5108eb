"""The search index in a real PostgreSQL: found as in SQLite, nothing readable in its files and logs, every refusal named, dropped and built anew."""
import http.client, json, os, pathlib, shutil, signal, sqlite3, ssl, subprocess, tempfile, unittest

from lab import BIN, Lab, free_port, wait_for
import postgres

PASSWORD = "index-throwaway-7"
WORDS = ["Quibbleton warehouse ledger", "rabatt für käufer", "東京の在庫一覧", "zephyr 🚀 launch"]
NEVER = [b"Quibbleton", b"quibbleton", b"warehouse", b"ledger", "käufer".encode(), "東京".encode(), "在庫".encode(), b"zephyr"]


@unittest.skipIf(postgres.why_not(), postgres.why_not())
class SearchInPostgres(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-pg-", dir="/tmp"))
        cls.folder.chmod(0o755)
        cls.server = postgres.Postgres(cls.folder / "pg").start()
        cls.server.make_database("sallyport", PASSWORD)
        cls.password = cls.folder / "password"
        cls.password.write_text(PASSWORD + "\n")
        cls.password.chmod(0o600)
        cls.url = f"postgresql://sallyport@localhost:{cls.server.port}/sallyport"
        cls.lab = Lab(config=cls.section())
        for text in WORDS:
            done = cls.lab.ssh(cls.lab.user(), f"printf '%s\\n' '{text}'")
            assert done.returncode == 0, done.stderr
        wait_for(lambda: cls.complete() == len(WORDS), 20)

    @classmethod
    def tearDownClass(cls):
        if hasattr(cls, "lab"):
            cls.lab.stop()
        cls.server.stop()
        shutil.rmtree(cls.folder, ignore_errors=True)

    @classmethod
    def section(cls, url=None, password=None, ca=None):
        return f"search:\n  database: {url or cls.url}\n  password_file: {password or cls.password}\n  ca_file: {ca or cls.server.ca}\n"

    @classmethod
    def complete(cls):
        rows = json.loads(cls.lab.run_cli("-o", "json", "sessions", check=True).stdout)
        return len([row for row in rows if row["state"] == "complete"])

    def with_section(self, **more):
        """A configuration beside the lab's own, with another section `search`."""
        text = (self.lab.folder / "sallyport.yaml").read_text()
        path = self.lab.folder / "other.yaml"
        path.write_text(text.replace(self.section(), self.section(**more)))
        return path

    def cli(self, *arguments, config=None):
        return subprocess.run([BIN / "sallyport", "--config", config or self.lab.folder / "sallyport.yaml", "-o", "json", *arguments], capture_output=True, text=True, timeout=60)

    def index(self, *more):
        done = self.cli("index", "--reason", "test", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def search(self, text, *more):
        done = self.cli("search", text, "--reason", "test", *more)
        self.assertIn(done.returncode, (0, 3), done.stderr)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def test_1_found_as_in_sqlite_and_nothing_readable_is_kept(self):
        self.assertEqual(self.cli("search", "ledger", "--reason", "test").returncode, 3, "no index yet")
        status, answer = self.lab.admin("POST", "/v1/search", {"text": "ledger", "reason": "test"})
        self.assertEqual((status, answer["code"]), (404, "SP-9402"), answer)
        indexed = self.index()
        self.assertEqual((indexed["failed"], indexed["indexed"], indexed["sessions"]), (0, len(WORDS), len(WORDS)))
        beside = str(self.folder / "beside.sqlite")
        self.index("--database", beside)
        queries = [[text] for text in WORDS] + [["quibbleton"], ["在庫"], ["ledger", "--principal", "auditor"], ["Quib[a-z]+ ware", "--regex"], [".", "--regex"], ["ledger", "--since", "1h", "--target", "target1"]]
        for query in queries:
            self.assertEqual(self.search(*query), self.search(*query, "--database", beside), query)
        for text in WORDS:
            hits = self.search(text)
            self.assertEqual((hits[-1]["line"], hits[0]["session"]), (text, hits[-1]["session"]))
        played = self.lab.run_cli(*hits[0]["play"].split()[1:], "--speed", "1000", "--reason", "test", check=True).stdout
        self.assertIn("launch".encode(), played)
        status, answer = self.lab.admin("POST", "/v1/search", {"text": "東京", "reason": "test"})
        self.assertEqual((status, answer["hits"][-1]["line"]), (200, WORDS[2]), answer)
        self.assertFalse((self.lab.folder / "state" / "index" / "search.sqlite").exists())
        # Tables, write-ahead log and a log with every statement: the sessions' names are there, no word of theirs is.
        stored = self.server.stored()
        self.assertIn(hits[0]["session"].encode(), stored)
        for word in NEVER:
            self.assertNotIn(word, stored)
        self.assertNotIn(PASSWORD.encode(), stored.replace(f"PASSWORD '{PASSWORD}'".encode(), b""))
        self.assertEqual(self.index()["indexed"], 0, "known ones are passed over")

    def test_2_dropped_and_built_anew_from_recordings_alone(self):
        self.index()
        before = self.search("ledger")
        self.assertTrue(before)
        self.assertEqual(self.cli("index", "--drop").returncode, 0)
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'search%'", "sallyport").strip(), "0")
        self.assertEqual(self.cli("search", "ledger", "--reason", "test").returncode, 3)
        self.assertEqual(self.cli("index", "--drop").returncode, 0, "twice is fine")
        # Two at once, as two nodes would.
        both = [subprocess.Popen([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "index", "--reason", "test"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                for _ in range(2)]
        for one in both:
            _, err = one.communicate(timeout=60)
            self.assertEqual(one.returncode, 0, err)
        self.assertEqual(self.search("ledger"), before)
        self.assertEqual(self.server.sql("SELECT count(*), count(DISTINCT label) FROM search_session", "sallyport").strip(), f"{len(WORDS)}|{len(WORDS)}")
        self.assertEqual(self.index("--rebuild")["indexed"], len(WORDS))
        self.assertEqual(self.search("ledger"), before)

    def test_3_what_is_wrong_is_named_and_built_anew(self):
        for sql, words in (("UPDATE search_about SET value = '\\x0000000000000002' WHERE name = 'version'", "newer version"),
                           ("UPDATE search_about SET value = decode(repeat('00', 32), 'hex') WHERE name = 'key'", "another key"),
                           ("DELETE FROM search_about WHERE name = 'version'", "not of a search index"),
                           ("DROP TABLE search_about; CREATE TABLE search_about(id INT)", "not of a search index")):
            self.index("--rebuild")
            self.server.sql("SET ROLE sallyport; " + sql, "sallyport")
            done = self.cli("search", "ledger", "--reason", "test")
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertIn("SP-4205", done.stderr)
            self.assertIn(words, done.stderr)
            status, answer = self.lab.admin("POST", "/v1/search", {"text": "ledger", "reason": "test"})
            self.assertEqual((status, answer["code"]), (503, "SP-4205"), answer)
        self.index("--rebuild")
        self.server.sql("UPDATE search_line SET sealed = set_byte(sealed, 14, get_byte(sealed, 14) # 1)", "sallyport")
        done = self.cli("search", "ledger", "--reason", "test")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("a line of the search index is damaged", done.stderr)
        self.server.sql("UPDATE search_word SET places = '\\xffffffffffffffffffffffffffffff'", "sallyport")
        self.assertEqual(self.search("ledger"), [], "places that no line has")
        self.index("--rebuild")
        self.assertTrue(self.search("ledger"))

    def test_3_files_that_are_wrong_are_named_as_well(self):
        file = self.folder / "wrong.sqlite"
        for change, words in ((lambda: file.write_bytes(b"NOT A DATABASE " * 512), "not a database"), (lambda: sqlite3.connect(file).execute("PRAGMA user_version = 99"), "version 99"),
                              (lambda: sqlite3.connect(file, isolation_level=None).execute("UPDATE search_about SET value = zeroblob(32)"), "another key"),
                              (lambda: sqlite3.connect(file, isolation_level=None).execute("UPDATE search_line SET sealed = zeroblob(40)"), "a line of the search index is damaged"),
                              (lambda: file.write_bytes(file.read_bytes()[:5000]), "")):
            self.index("--rebuild", "--database", file)
            self.assertTrue(self.search("ledger", "--database", file))
            for tail in ("-wal", "-shm"):
                pathlib.Path(str(file) + tail).unlink(missing_ok=True)
            change()
            done = self.cli("search", "ledger", "--reason", "test", "--database", file)
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertIn("SP-4205", done.stderr)
            self.assertIn(words, done.stderr)

    def test_4_a_server_that_is_not_trusted_or_not_there(self):
        self.index()
        wrong = self.folder / "wrong"
        wrong.write_text("not it\n")
        wrong.chmod(0o600)
        other = self.folder / "other.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", self.folder / "other.key", "-out", other],
                       check=True, capture_output=True)
        named = self.url.replace("localhost", "ip6-localhost.example")
        for more, status, words in (({"password": wrong}, 4, "password authentication failed"), ({"ca": other}, 7, "certificate verify failed"),
                                    ({"url": named}, 7, "could not translate host name"), ({"url": self.url.replace(f":{self.server.port}", ":1")}, 7, "refused")):
            done = self.cli("search", "ledger", "--reason", "test", config=self.with_section(**more))
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn("SP-4206", done.stderr)
            self.assertIn(words, done.stderr)
            self.assertNotIn("not it", done.stderr)
        wrong.chmod(0o644)
        done = self.cli("search", "ledger", "--reason", "test", config=self.with_section(password=wrong))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("chmod 600", done.stderr)
        done = self.cli("config", "check", config=self.with_section(url=self.url.replace("sallyport@", "sallyport:secret@")))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("search.password_file", done.stderr)
        rows = {row["check"]: row["result"] for row in json.loads(self.cli("doctor").stdout)}
        self.assertEqual(rows["search database"], "ok")
        rows = {row["check"]: row["result"] for row in json.loads(self.cli("doctor", config=self.with_section(ca=other)).stdout)}
        self.assertNotEqual(rows["search database"], "ok")

    def test_4_the_password_from_the_vault(self):
        lab, usual = self.lab, self.lab.extra_config
        subprocess.run([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "secret", "put", "search/database", "--kind", "password"],
                       input=PASSWORD.encode(), check=True, capture_output=True, timeout=60)
        api_port = free_port()
        from_vault = f'admin: {{listen: ["127.0.0.1:{api_port}"]}}\n' + usual.replace(f"password_file: {self.password}", "password_secret: search/database")
        self.assertNotEqual(from_vault, usual)

        def restart(config):
            lab.stop_gateway()
            lab.extra_config = config
            lab.write_config()
            lab.start_gateway()

        self.password.rename(self.folder / "away")
        try:
            restart(from_vault)
            self.assertEqual(self.index("--rebuild")["indexed"], len(WORDS))
            self.assertEqual(self.search("ledger")[-1]["line"], WORDS[0])
            status, answer = lab.admin("POST", "/v1/search", {"text": "ledger", "reason": "test"})
            self.assertEqual((status, answer["hits"][-1]["line"]), (200, WORDS[0]), answer)
            self.assertEqual(self.cli("index", "--drop", "--reason", "test").returncode, 0)
            self.assertEqual(self.search("ledger"), [])
            self.index()
            self.assertIn("not tried", [row for row in json.loads(self.cli("doctor").stdout) if row["check"] == "search database"][0]["detail"])
            # Who may only view gets the key of the index and no password: it would let her change the tables.
            status, answer = lab.admin("POST", "/v1/search/key", {"reason": "test"})
            self.assertEqual((status, answer["password"]), (200, PASSWORD))
            token = json.loads(lab.run_cli("-o", "json", "token", "create", "--for", "admin", "--name", "test", check=True).stdout)["token"]
            certificate = next((lab.folder / "state").rglob("admin_tls.pem"))
            connection = http.client.HTTPSConnection("127.0.0.1", api_port, context=ssl.create_default_context(cafile=str(certificate)), timeout=20)
            connection.request("POST", "/v1/search/key", json.dumps({"reason": "test"}), {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            self.assertEqual((answer.status, list(json.loads(answer.read()))), (200, ["key"]))
            connection.close()
            loans = lab.run_cli("-o", "json", "events", "--name", "lease.started", check=True).stdout.decode()
            self.assertIn('"search/database"', loans, "each loan is an event")
            self.assertIn('"gateway"', loans)
            # Another secret's name: said, by name.
            restart(from_vault.replace("search/database", "search/none"))
            done = self.cli("search", "ledger", "--reason", "test")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("search/none", done.stderr)
            status, answer = lab.admin("POST", "/v1/search", {"text": "ledger", "reason": "test"})
            self.assertEqual((status, answer["code"]), (503, "SP-4206"), answer)
            done = self.cli("search", "ledger", "--reason", "test", config=self.with_section_text(from_vault + f"  password_file: {self.password}\n"))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("search.password_secret", done.stderr)
        finally:
            (self.folder / "away").rename(self.password)
            restart(usual)

    def with_section_text(self, section):
        path = self.lab.folder / "other.yaml"
        path.write_text((self.lab.folder / "sallyport.yaml").read_text().replace(self.lab.extra_config, section))
        return path

    def test_5_the_indexer_outlives_the_server_and_a_sealed_vault_finds_nothing(self):
        self.assertEqual(self.cli("index", "--drop").returncode, 0)
        follower = subprocess.Popen([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "index", "--follow", "--reason", "test"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: len(self.search(".", "--regex")) >= len(WORDS), 20, 0.5)
            self.server.pause()
            done = self.cli("search", "ledger", "--reason", "test")
            self.assertEqual(done.returncode, 7, done.stderr)
            self.assertIn("SP-4206", done.stderr)
            status, answer = self.lab.admin("POST", "/v1/search", {"text": "ledger", "reason": "test"})
            self.assertEqual((status, answer["code"]), (503, "SP-4206"), answer)
            self.assertEqual(self.lab.ssh(self.lab.user(), "echo seen while the database was away").returncode, 0, "sessions do not need it")
            self.server.start()
            wait_for(lambda: self.search("seen while the database was away"), 30, 0.5)
        finally:
            follower.send_signal(signal.SIGTERM)
            follower.wait(20)
        self.lab.run_cli("vault", "seal", check=True)
        done = self.cli("search", "ledger", "--reason", "test")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("SP-4204", done.stderr)


if __name__ == "__main__":
    unittest.main()
