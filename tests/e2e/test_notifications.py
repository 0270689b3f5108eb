"""Who has to decide is told: signed webhooks and mail, tried again until they are taken, told again after a restart."""
import json, os, signal, unittest

from lab import Lab, wait_for
from receivers import Mail, Webhooks, signature_holds
from test_approvals import policy

KEY = b"a key of more than sixteen bytes"


class Notifications(unittest.TestCase):
    def setUp(self):
        self.hooks, self.mail = Webhooks(fail=2), Mail(fail=1)
        self.addCleanup(self.hooks.stop)
        self.addCleanup(self.mail.stop)
        self.lab = Lab(targets=1, start=False)
        self.addCleanup(self.lab.stop)
        key = self.lab.folder / "webhook.key"
        key.write_bytes(KEY + b"\n")
        self.lab.extra_config = (f"notify:\n  webhooks: [\"{self.hooks.url}\"]\n  webhook_key_file: {key}\n  smtp: {self.mail.url}\n  smtp_plain: true\n"
                                 f"  smtp_from: gateway@example.org\n  smtp_to: [seniors@example.org, lead@example.org]\n  retry: 200ms\n")
        self.lab.policy_text = lambda: policy(self.lab, "{approvers: seniors, lasts: 1h}")
        self.lab.start()

    def test_a_request_is_told_signed_and_again_until_it_is_taken(self):
        asked = self.lab.ssh("engineer", "request", "target1", "--reason", "INC-42\nBcc: evil@example.org", identity="engineer")
        self.assertEqual(asked.returncode, 0, asked.stderr)
        wait_for(lambda: len(self.hooks.got) == 1 and len(self.mail.got) == 1, 15, 0.1)
        self.assertEqual(len(self.hooks.refused), 2)
        headers, body = self.hooks.got[0]
        self.assertTrue(signature_holds(headers, body, KEY))
        self.assertFalse(signature_holds(headers, body + b" ", KEY))
        self.assertEqual({h["Sallyport-Delivery"] for h, _ in self.hooks.refused}, {headers["Sallyport-Delivery"]})
        told = json.loads(body)
        self.assertEqual((told["event"], told["principal"], told["target"], told["needed"]), ("request.created", "engineer", "target1", 1))
        sender, to, text = self.mail.got[0]
        self.assertEqual((sender, to), ("gateway@example.org", ["seniors@example.org", "lead@example.org"]))
        head, _, rest = text.partition("\r\n\r\n")
        self.assertIn("Subject: engineer asks for", head)
        self.assertNotIn("Bcc", head)
        self.assertIn("approve " + told["request"], rest)
        self.assertTrue(self.lab.wait_event("notify.delivered", to=self.hooks.url, tries=3))
        self.assertTrue(self.lab.wait_event("notify.delivered", to=self.mail.url, tries=2))
        for pid in self.lab.gateway_pids("service authority"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(self.hooks.got) == 2, 20, 0.2)
        self.assertEqual(self.hooks.got[1][0]["Sallyport-Delivery"], headers["Sallyport-Delivery"])
        done = self.lab.ssh("approver", "approve", told["request"], identity="approver")
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_for(lambda: len(self.hooks.got) == 3, 15, 0.1)
        self.assertEqual(json.loads(self.hooks.got[2][1])["event"], "request.approved")


if __name__ == "__main__":
    unittest.main()
