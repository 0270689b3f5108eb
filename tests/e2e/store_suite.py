"""What suites against a real object store (Ceph RGW) begin with: one store for all tests of a class, a gateway and a bucket for each."""
import os, pathlib, shutil, tempfile, unittest

from lab import Lab
import rgw

WHY_NOT = rgw.why_not()


class StoreSuite(unittest.TestCase):
    segment_every = "500ms"
    recording = ""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-rgw-", dir="/tmp"))
        if os.geteuid() == 0:
            cls.folder.chmod(0o755)
        cls.store = rgw.Rgw(cls.folder / "rgw").start()
        cls.s3 = cls.store.s3()

    @classmethod
    def tearDownClass(cls):
        cls.store.stop()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def credentials(self, name, keys):
        path = self.folder / name
        path.write_text(f"access_key = {keys[0]}\nsecret_key = {keys[1]}\n")
        path.chmod(0o600)
        return path

    def lab(self, bucket, writer=rgw.WRITER, endpoint=None, lock=True, more="", recording=None, **options):
        self.s3.make_bucket(bucket, lock)
        self.store.let_writer_write(bucket)
        lab = Lab(config=f"{self.recording if recording is None else recording}store:\n  url: s3://{bucket}/gateway\n"
                         f"  endpoint: {endpoint or self.store.endpoint}\n  region: default\n  ca_file: {self.store.ca}\n"
                         f"  credentials: {self.credentials(bucket + '.w', writer)}\n  read_credentials: {self.credentials(bucket + '.r', rgw.OWNER)}\n"
                         f"  segment_every: {self.segment_every}\n{more}", **options)
        self.addCleanup(lab.stop)
        return lab
