"""Many passwords at once: four are hashed together, the others wait, and who comes with a key does not wait behind them."""
import ctypes, os, pathlib, re, socket, sys, threading, time, unittest

from lab import IS_ROOT, Lab, wait_for

sys.path.append("/usr/lib/python3/dist-packages")
try:
    import paramiko
except ImportError:
    paramiko = None

MEMORY_KIB = 64 * 1024  # of one hash
PASSES = 10
CLIENTS = 14
TOGETHER = 4


def slow_hash(password):
    library = ctypes.CDLL("libargon2.so.1")
    encoded = ctypes.create_string_buffer(256)
    status = library.argon2id_hash_encoded(ctypes.c_uint32(PASSES), ctypes.c_uint32(MEMORY_KIB), ctypes.c_uint32(1), password, ctypes.c_size_t(len(password)),
                                           os.urandom(16), ctypes.c_size_t(16), ctypes.c_size_t(32), encoded, ctypes.c_size_t(256))
    assert status == 0, status
    return encoded.value.decode()


@unittest.skipUnless(paramiko and IS_ROOT, "needs python3-paramiko, and root to reset another process's high-water mark")
class PasswordLoad(unittest.TestCase):
    def test_four_passwords_are_hashed_at_once_and_a_key_does_not_wait(self):
        lab = Lab(targets=1, start=False)
        self.addCleanup(lab.stop)
        begin = time.monotonic()
        pass_hash = slow_hash(b"right horse")
        alone = time.monotonic() - begin
        # Each a principal of her own: the back-off of one must not thin out the load.
        names = [f"pass{i}" for i in range(CLIENTS)]

        def policy():
            people = "".join(f"  - {{name: {name}, type: person, password: \"{pass_hash}\"}}\n" for name in names)
            return lab.default_policy().replace("targets:\n", people + "targets:\n", 1).replace("principals: [engineer]", f"principals: [engineer, {', '.join(names)}]")
        lab.policy_text = policy
        lab.start()
        authority, = lab.gateway_pids("service authority")

        def memory(field):
            return int(re.search(rf"{field}:\s+(\d+)", pathlib.Path(f"/proc/{authority}/status").read_text()).group(1))
        pathlib.Path(f"/proc/{authority}/clear_refs").write_text("5")  # the high-water mark begins anew
        before = memory("VmHWM")
        done, failed = [], []

        def log_in(name):
            connection = paramiko.Transport(socket.create_connection(("127.0.0.1", lab.port), 20))
            connection.banner_timeout = connection.auth_timeout = 100
            try:
                connection.start_client(timeout=60)
                connection.auth_password(lab.user(principal=name), "right horse", fallback=False)
                done.append(name)
            except Exception as error:
                failed.append(repr(error))
            finally:
                connection.close()
        clients = [threading.Thread(target=log_in, args=(name,)) for name in names]
        for client in clients:
            client.start()
        wait_for(lambda: memory("VmRSS") - before > TOGETHER * MEMORY_KIB * 3 // 4, 30, 0.05)
        self.assertLess(len(done), CLIENTS // 2, "the passwords are under way")
        self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n")
        waiting = CLIENTS - len(done) - len(failed)
        self.assertGreater(waiting, 0, "the key waited behind the passwords")
        for client in clients:
            client.join(150)
        self.assertEqual((sorted(done), failed), (sorted(names), []))
        peak = memory("VmHWM") - before
        print(f"one hash alone takes {alone:.1f} s and {MEMORY_KIB >> 10} MiB; {CLIENTS} at once took {peak >> 10} MiB; {waiting} still waited when the key was in", flush=True)
        self.assertGreater(peak, 2 * MEMORY_KIB, "nothing was measured")
        self.assertLess(peak, TOGETHER * MEMORY_KIB + 48 * 1024)


if __name__ == "__main__":
    unittest.main()
