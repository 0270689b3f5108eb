"""A real OpenLDAP slapd on loopback: LDAPS, and LDAP that demands StartTLS; people, and groups by member, memberOf and memberUid."""
import pathlib, shutil, socket, subprocess, time

BASE = "dc=example,dc=test"
SLAPD = "/usr/sbin/slapd"


def why_not():
    if not pathlib.Path(SLAPD).exists() or not shutil.which("ldapmodify"):
        return "slapd and ldap-utils are not installed: script/bootstrap --test installs them"
    return ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def person(name):
    return f"uid={name},ou=people,{BASE}"


def group(name):
    return f"cn={name},ou=groups,{BASE}"


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}", "-addext",
                    f"subjectAltName=DNS:{name}" + (",IP:127.0.0.1" if name == "localhost" else ""), "-keyout", folder / "key.pem", "-out", folder / "ca.pem"], check=True, capture_output=True)


class Slapd:
    def __init__(self, folder, name="localhost"):
        self.folder = pathlib.Path(folder)
        self.name = name  # in its certificate
        self.process = None

    def start(self, people, groups):
        """`people`: name to password; `groups`: name to the full names of its members."""
        f = self.folder
        (f / "db").mkdir(parents=True)
        make_certificate(f, self.name)
        schemas = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson", "nis"))
        (f / "slapd.conf").write_text(f"""{schemas}modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {f}/pid
TLSCertificateFile {f}/ca.pem
TLSCertificateKeyFile {f}/key.pem
disallow bind_anon
security simple_bind=128
database mdb
maxsize 67108864
suffix "{BASE}"
rootdn "cn=root,{BASE}"
rootpw root-throwaway
directory {f}/db
overlay memberof
access to attrs=userPassword by self write by anonymous auth by * none
access to * by users read by * none
""")
        self.plain, self.tls = free_port(), free_port()
        self.url, self.start_tls_url = f"ldaps://127.0.0.1:{self.tls}", f"ldap://127.0.0.1:{self.plain}"
        self.ca, self.bind_dn, self.bind_password = f / "ca.pem", f"cn=gateway,{BASE}", "gateway-throwaway"
        entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n",
                   f"dn: cn=root,{BASE}\nobjectClass: organizationalRole\ncn: root\n"]
        entries += [f"dn: ou={part},{BASE}\nobjectClass: organizationalUnit\nou: {part}\n" for part in ("people", "groups", "posix")]
        entries.append(f"dn: {self.bind_dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: gateway\nuserPassword: {self.bind_password}\n")
        entries += [f"dn: {person(name)}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: Test\nuserPassword: {password}\n" for name, password in people.items()]
        for name, members in groups.items():
            entries.append(f"dn: {group(name)}\nobjectClass: groupOfNames\ncn: {name}\n" + "".join(f"member: {one}\n" for one in members))
        self.begin()
        self.change("ldapadd", "\n".join(entries))
        return self

    def begin(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([SLAPD, "-d", "0", "-f", self.folder / "slapd.conf", "-h", f"{self.start_tls_url} {self.url}"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.time() + 30
        while time.time() < deadline:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.tls)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError((self.folder / "log").read_text())

    def change(self, program, ldif):
        done = subprocess.run([program, "-x", "-H", self.url, "-D", f"cn=root,{BASE}", "-w", "root-throwaway"], input=ldif.encode(), capture_output=True, timeout=30,
                              env={"LDAPTLS_CACERT": str(self.ca), "LDAPTLS_REQCERT": "demand" if self.name == "localhost" else "never", "PATH": "/usr/bin:/bin"})
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())

    def members(self, action, name, *who):
        self.change("ldapmodify", f"dn: {group(name)}\nchangetype: modify\n{action}: member\n" + "".join(f"member: {one}\n" for one in who))

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.log.close()
            self.process = None
