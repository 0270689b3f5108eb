#!/usr/bin/env python3
"""Writes the software bill of materials of a build as SPDX 2.3 JSON.

    script/sbom.py PROGRAM... > sallyport.spdx.json

What is linked dynamically is read from the programs (ldd, dpkg), what is built in from the lists that the build uses: script/packages.txt,
third_party/libssh with its patches, admin/web/package-lock.json. The same sources, programs and packages give the same bytes:
the time is SOURCE_DATE_EPOCH, or that of the last commit.
"""
import base64, datetime, hashlib, json, os, pathlib, re, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Packages whose archives go into sallyport-session (app/CMakeLists.txt).
STATIC = {"libvterm-dev", "libre2-dev", "zlib1g-dev", "libprotobuf-dev", "libzstd-dev", "libseccomp-dev", "libssl-dev"}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def spdx_id(text):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def installed(names):
    """(name, version, architecture, source) of Debian packages that are installed."""
    if not names:
        return []
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${db:Status-Status}\n", *sorted(names)], capture_output=True, text=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return sorted({tuple(row[:4]) for row in rows if len(row) == 5 and row[4] == "installed"})


def deb(name, version, architecture, source):
    return {"SPDXID": spdx_id(f"deb-{name}"), "name": name, "versionInfo": version, "supplier": "Organization: Debian", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", "sourceInfo": f"Debian source package {source}; licences: /usr/share/doc/{name}/copyright",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:deb/debian/{name}@{version}?arch={architecture}".replace("+", "%2B")}]}


def linked_packages(programs):
    libraries = set()
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True, text=True)
        libraries |= {match.group(1) for match in re.finditer(r"=> (/\S+)", done.stdout)}
    names = set()
    for library in sorted(libraries):
        for path in (library, os.path.realpath(library), re.sub(r"^/lib/", "/usr/lib/", library), re.sub(r"^/usr/lib/", "/lib/", library)):
            done = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True)
            if done.returncode == 0:
                names.add(done.stdout.split(": ")[0].split(",")[0].split(":")[0])
                break
        else:
            print(f"sbom: {library} belongs to no package", file=sys.stderr)
    return installed(names)


def build_packages():
    lines = (ROOT / "script" / "packages.txt").read_text().splitlines()
    return installed({line.split()[0] for line in lines if line.strip() and not line.startswith("#")})


def libssh():
    bootstrap = (ROOT / "script" / "bootstrap").read_text()
    version = re.search(r"^version=(\S+)", bootstrap, re.M).group(1)
    source = re.search(r"^source_sha256=(\S+)", bootstrap, re.M).group(1)
    patches = sorted((ROOT / "third_party" / "libssh" / "patches").glob("*.patch"))
    listed = "".join(f"{sha256(patch)}  {patch.name}\n" for patch in patches)
    return {"SPDXID": "SPDXRef-libssh", "name": "libssh", "versionInfo": version, "supplier": "Organization: libssh.org", "downloadLocation": "https://www.libssh.org/", "filesAnalyzed": False,
            "licenseConcluded": "LGPL-2.1-or-later", "licenseDeclared": "LGPL-2.1-or-later", "copyrightText": "NOASSERTION", "checksums": [{"algorithm": "SHA256", "checksumValue": source}],
            "sourceInfo": f"libssh_{version}.orig.tar.xz with {len(patches)} patches of third_party/libssh/patches", "comment": "SHA-256 of the patches:\n" + listed,
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:generic/libssh@{version}"}]}


def npm_packages():
    lock = json.loads((ROOT / "admin" / "web" / "package-lock.json").read_text())
    for path, entry in sorted(lock.get("packages", {}).items()):
        if not path or entry.get("link"):
            continue
        name = path.rsplit("node_modules/", 1)[1]
        package = {"SPDXID": spdx_id(f"npm-{name}-{entry['version']}"), "name": name, "versionInfo": entry["version"], "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
                   "licenseDeclared": entry.get("license", "NOASSERTION") if re.fullmatch(r"[A-Za-z0-9.+-]+", str(entry.get("license", ""))) else "NOASSERTION", "copyrightText": "NOASSERTION",
                   "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:npm/{name.replace('@', '%40')}@{entry['version']}"}]}
        if str(entry.get("integrity", "")).startswith("sha512-"):
            package["checksums"] = [{"algorithm": "SHA512", "checksumValue": base64.b64decode(entry["integrity"][7:]).hex()}]
        yield package, not entry.get("dev", False)


def main(programs):
    if not programs:
        sys.exit(__doc__)
    version = re.search(r"^project\(\S+ VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.M).group(1)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or output("git", "-C", ROOT, "log", "-1", "--format=%ct"))
    packages = {}
    relations = set()

    def add(package, relation, other="SPDXRef-sallyport", backwards=False):
        packages.setdefault(package["SPDXID"], package)
        relations.add((package["SPDXID"], relation, other) if backwards else (other, relation, package["SPDXID"]))

    for row in linked_packages(programs):
        add(deb(*row), "DYNAMIC_LINK")
    for row in build_packages():
        if row[0] in STATIC:
            add(deb(*row), "STATIC_LINK")
        else:
            add(deb(*row), "BUILD_DEPENDENCY_OF", backwards=True)
    add(libssh(), "STATIC_LINK")
    for package, is_shipped in npm_packages():
        if is_shipped:
            add(package, "CONTAINS")
        else:
            add(package, "BUILD_DEPENDENCY_OF", backwards=True)
    files = [{"SPDXID": spdx_id(f"file-{pathlib.Path(program).name}"), "fileName": f"./bin/{pathlib.Path(program).name}", "fileTypes": ["BINARY"], "licenseConcluded": "NOASSERTION",
              "copyrightText": "NOASSERTION", "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(pathlib.Path(program).read_bytes()).hexdigest()},
                                                            {"algorithm": "SHA256", "checksumValue": sha256(program)}]} for program in sorted(programs)]
    verification = hashlib.sha1("".join(sorted(file["checksums"][0]["checksumValue"] for file in files)).encode()).hexdigest()
    own = {"SPDXID": "SPDXRef-sallyport", "name": "sallyport", "versionInfo": version, "downloadLocation": "NOASSERTION", "filesAnalyzed": True,
           "packageVerificationCode": {"packageVerificationCodeValue": verification}, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0", "licenseInfoFromFiles": ["NOASSERTION"],
           "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION"}
    relations |= {("SPDXRef-sallyport", "CONTAINS", file["SPDXID"]) for file in files}
    relations.add(("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-sallyport"))
    body = {"packages": [own, *(packages[key] for key in sorted(packages))], "files": files,
            "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in sorted(relations)]}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    document = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"sallyport-{version}", "documentNamespace": f"https://sallyport.invalid/spdx/sallyport-{version}-{digest}",
                "creationInfo": {"created": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: script/sbom.py"]}, **body}
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
