#!/usr/bin/env python3
"""A real Ceph object gateway on loopback for the tests: `rgw.py start DIR`, `rgw.py stop DIR`, or as a module.

One monitor, one OSD that keeps its objects in memory, one radosgw with HTTP and HTTPS. Everything is below DIR; no cephx, fixed keys: for
tests only. The Debian packages stand in script/packages-test.txt; why_not() says what is missing. Also here: a small S3 client of the
tests' own (SigV4 by header), so that no answer is judged by the code under test.
"""
import datetime, hashlib, hmac, http.client, json, os, pathlib, shutil, signal, socket, ssl, subprocess, sys, time, urllib.parse, uuid

PROGRAMS = ["ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "openssl"]
OWNER = ("OWNERKEY000000000001", "owner-throwaway-0001")
WRITER = ("WRITERKEY00000000001", "writer-throwaway-0001")


def why_not():
    """Empty when the service can run here, else what it lacks."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return "Ceph is not installed (no " + ", ".join(missing) + "): script/bootstrap --test installs it"
    return "" if os.geteuid() == 0 else "Ceph's daemons are started as root only"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, seconds, check=lambda: None, step=0.05):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        check()
        time.sleep(step)
    raise TimeoutError(f"waited {seconds} s")


def listens(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class S3:
    """Just enough of S3 to prepare buckets and to look at them from outside."""
    def __init__(self, port, keys, region="default"):
        self.port, self.keys, self.region = port, keys, region

    def call(self, method, path, query="", body=b"", headers=None, keys=None):
        access, secret = keys or self.keys
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        sent = {"host": f"127.0.0.1:{self.port}", "x-amz-date": now, "x-amz-content-sha256": digest, **(headers or {})}
        names = sorted(sent)
        canonical_query = "&".join(sorted(part if "=" in part else part + "=" for part in query.split("&") if part))
        canonical = "\n".join([method, path, canonical_query, *(f"{n}:{sent[n]}" for n in names), "", ";".join(names), digest])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        sent["authorization"] = f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path + ("?" + query if query else ""), body or None, sent)
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def must(self, *args, **more):
        status, body, headers = self.call(*args, **more)
        if status // 100 != 2:
            raise RuntimeError(f"{args[:3]}: {status} {body[:300]}")
        return body, headers

    def make_bucket(self, name, lock=False):
        self.must("PUT", "/" + name, headers={"x-amz-bucket-object-lock-enabled": "true"} if lock else {})

    def keys_of(self, bucket, prefix=""):
        body, _ = self.must("GET", "/" + bucket, query="list-type=2&max-keys=1000&prefix=" + urllib.parse.quote(prefix, safe=""))
        text = body.decode()
        assert "<IsTruncated>true" not in text
        return [part.split("</Key>")[0] for part in text.split("<Key>")[1:]]

    def versions_of(self, bucket):
        body, _ = self.must("GET", "/" + bucket, query="versions=")
        return body.decode().count("<Version>"), body.decode().count("<DeleteMarker>")


class Rgw:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.processes = {}
        self.conf = self.folder / "ceph.conf"

    def check(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended: " + (self.folder / "log" / name).read_text()[-800:])

    def spawn(self, name, *command):
        with open(self.folder / "log" / name, "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def run(self, *command, seconds=40):
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr[-800:]}")
        return done.stdout

    def admin(self, *arguments):
        return self.run("radosgw-admin", "-c", str(self.conf), "-n", "client.rgw", *arguments)

    def start(self):
        f, mon = self.folder, free_port()
        self.port, self.tls_port = free_port(), free_port()
        for part in ("mon", "osd", "run", "log", "rgw"):
            (f / part).mkdir(parents=True, exist_ok=True)
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
                 "subjectAltName=DNS:localhost,DNS:s3.localhost,DNS:*.s3.localhost,IP:127.0.0.1", "-keyout", str(f / "tls.key"), "-out", str(f / "tls.crt"))
        (f / "tls.pem").write_text((f / "tls.key").read_text() + (f / "tls.crt").read_text())
        classes = next(pathlib.Path("/usr/lib").glob("**/rados-classes/libcls_rgw.so"), pathlib.Path("/usr/lib/rados-classes/x")).parent
        cluster = str(uuid.uuid4())
        self.conf.write_text(f"""[global]
fsid = {cluster}
mon_host = v2:127.0.0.1:{mon}/0
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_cluster_mode = crc
ms_bind_ipv4 = true
plugin_dir = /usr/lib/ceph
ms_bind_msgr1 = false
public_network = 127.0.0.0/8
public_addr = 127.0.0.1
run_dir = {f}/run
admin_socket = {f}/run/$name.asok
log_file = /dev/null
mon_cluster_log_file = /dev/null
err_to_stderr = true
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
mon_allow_pool_size_one = true
mon_osd_full_ratio = .99
mon_osd_nearfull_ratio = .98
mon_osd_backfillfull_ratio = .985
osd_failsafe_full_ratio = .995
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 2
mon_data_avail_crit = 1
auth_allow_insecure_global_id_reclaim = false
[mon]
mon_data = {f}/mon
mon_initial_members = a
[osd]
osd_data = {f}/osd
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_class_load_list = *
osd_class_default_list = *
osd_class_dir = {classes}
osd_check_max_object_name_len_on_startup = false
[client.rgw]
rgw_data = {f}/rgw
rgw_frontends = beast tcp_nodelay=1 endpoint=127.0.0.1:{self.port} ssl_endpoint=127.0.0.1:{self.tls_port} ssl_certificate={f}/tls.pem
rgw_thread_pool_size = 16
rgw_cache_enabled = true
rgw_dns_name = s3.localhost
rgw_user_quota_bucket_sync_interval = 1
rgw_bucket_quota_ttl = 1
""")
        self.run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", f"[v2:127.0.0.1:{mon}/0]", "--clobber", str(f / "monmap"))
        self.run("ceph-mon", "-c", str(self.conf), "-i", "a", "--mkfs", "--monmap", str(f / "monmap"))
        self.spawn("mon", "ceph-mon", "-c", str(self.conf), "-i", "a", "-f")
        wait_for(lambda: listens(mon), 30, self.check)
        osd = str(uuid.uuid4())
        self.run("ceph", "-c", str(self.conf), "--connect-timeout", "20", "osd", "new", osd)
        self.run("ceph-osd", "-c", str(self.conf), "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.spawn("osd", "ceph-osd", "-c", str(self.conf), "-i", "0", "-f")
        wait_for(lambda: '"num_up_osds":1' in self.run("ceph", "-c", str(self.conf), "osd", "stat", "-f", "json").replace(" ", ""), 30, self.check, 0.2)
        self.start_gateway()
        for name, (access, secret) in (("owner", OWNER), ("writer", WRITER)):
            self.admin("user", "create", f"--uid={name}", f"--display-name={name}", f"--access-key={access}", f"--secret-key={secret}")
        return self

    def start_gateway(self):
        self.spawn("rgw", "radosgw", "-c", str(self.conf), "-n", "client.rgw", "-f")
        wait_for(lambda: listens(self.port), 60, self.check)

    def stop_gateway(self):
        process = self.processes.pop("rgw", None)
        if process:
            process.kill()
            process.wait()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint_tls(self):
        return f"https://127.0.0.1:{self.tls_port}"

    @property
    def endpoint_names(self):
        """For addresses with the bucket in the host's name: BUCKET.s3.localhost is this machine."""
        return f"https://s3.localhost:{self.tls_port}"

    @property
    def ca(self):
        return str(self.folder / "tls.crt")

    def s3(self, keys=OWNER):
        return S3(self.port, keys)

    def let_writer_write(self, bucket):
        """Put and nothing else: neither read, list nor delete."""
        policy = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/writer"]},
             "Action": ["s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:AbortMultipartUpload"],
             "Resource": [f"arn:aws:s3:::{bucket}/*"]},
            # Whoever put an object owns it there and might read and remove it: that is taken away.
            {"Effect": "Deny", "Principal": {"AWS": ["arn:aws:iam:::user/writer"]},
             "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:ListBucket", "s3:ListBucketVersions"],
             "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}]}
        self.s3().must("PUT", "/" + bucket, query="policy=", body=json.dumps(policy).encode())

    def quota(self, bucket, most_objects):
        self.admin("quota", "set", "--quota-scope=bucket", f"--bucket={bucket}", "--uid=owner", f"--max-objects={most_objects}")
        self.admin("quota", "enable" if most_objects >= 0 else "disable", "--quota-scope=bucket", f"--bucket={bucket}", "--uid=owner")

    def stop(self):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes = {}
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    if sys.argv[1] == "start":
        if why_not():
            sys.exit(why_not())
        service = Rgw(folder).start()
        (folder / "pids").write_text("\n".join(str(process.pid) for process in service.processes.values()))
        for name, value in (("S3_ENDPOINT", service.endpoint), ("S3_ENDPOINT_TLS", service.endpoint_tls), ("S3_CA", service.ca), ("S3_REGION", "default"),
                            ("S3_ACCESS_KEY", OWNER[0]), ("S3_SECRET_KEY", OWNER[1]), ("S3_WRITER_KEY", WRITER[0]), ("S3_WRITER_SECRET", WRITER[1])):
            print(f"{name}={value}")
        return
    for pid in (folder / "pids").read_text().split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
