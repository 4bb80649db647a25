"""The page in headless Chromium: a conversation is held, forked, rewound and opened again, on a desktop and on a phone.

Usage: page_test.py FAKE_SERVER [DIRECTORY FOR SCREENSHOTS]
"""

import base64
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

SCREENSHOTS = sys.argv.pop() if len(sys.argv) > 2 else None
SERVER = sys.argv.pop()
KEY = "0123456789abcdef"
SAID = "Hello there! <b>How</b> are you?\nFine, I hope."


class Browser:
    """Chromium over --remote-debugging-pipe: messages of JSON that end with a NUL byte."""

    def __init__(self):
        from_browser, write = os.pipe()
        read, to_browser = os.pipe()
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)

        def connect():
            os.dup2(read, 3)
            os.dup2(write, 4)

        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}", "about:blank"]
        # The pipes may be 3 and 4 themselves, so that they are moved out of the way first.
        read, write = os.dup(read), os.dup(write)
        for end in (read, write):
            os.set_inheritable(end, True)
        self.process = subprocess.Popen(command, preexec_fn=connect, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(read)
        os.close(write)
        self.reader, self.writer = os.fdopen(from_browser, "rb"), os.fdopen(to_browser, "wb")
        self.numbers, self.session, self.rest, self.problems = itertools.count(1), None, b"", []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def read_message(self):
        while b"\0" not in self.rest:
            piece = os.read(self.reader.fileno(), 1 << 16)
            if not piece:
                raise RuntimeError("Chromium ended")
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        self.writer.flush()
        while True:
            message = self.read_message()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if message.get("method") == "Page.javascriptDialogOpening":
                self.writer.write(json.dumps({"id": next(self.numbers), "sessionId": self.session,
                                              "method": "Page.handleJavaScriptDialog",
                                              "params": {"accept": True}}).encode() + b"\0")
                self.writer.flush()
            if message.get("method") == "Runtime.exceptionThrown":
                self.problems.append(message["params"]["exceptionDetails"])
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.problems.append(message["params"]["entry"])

    def run(self, script):
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, condition, seconds=10):
        limit = time.monotonic() + seconds
        while not self.run(condition):
            if time.monotonic() > limit:
                raise AssertionError(f"{condition} did not come true; the page says: "
                                     + self.run("document.body.innerText"))
            time.sleep(0.02)

    def key(self, key, code, text=None, modifiers=0):
        more = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=modifiers,
                      **(more if kind == "keyDown" else {}))

    def shot(self, name):
        if SCREENSHOTS:
            data = self.call("Page.captureScreenshot", format="png")["data"]
            (pathlib.Path(SCREENSHOTS) / f"{name}.png").write_bytes(base64.b64decode(data))

    def close(self):
        self.session = None
        self.call("Browser.close")
        self.process.wait(timeout=20)
        self.reader.close()
        self.writer.close()
        self.profile.cleanup()


class PageTest(unittest.TestCase):
    def setUp(self):
        self.server = subprocess.Popen([SERVER, "0", KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{int(self.server.stdout.readline())}/"
        self.browser = Browser()

    def tearDown(self):
        self.browser.close()
        self.server.stdin.close()
        self.server.stdout.close()
        self.assertEqual(self.server.wait(timeout=20), 0)

    def open(self):
        self.browser.call("Page.navigate", url=self.url)
        self.browser.wait("document.readyState === 'complete' && document.querySelector('#key').open")
        self.browser.call("Input.insertText", text=KEY)
        self.browser.key("Enter", 13, "\r")
        self.browser.wait("document.querySelector('#model').options.length === 1")

    def say(self, text, messages):
        self.browser.run("document.querySelector('#prompt').focus()")
        self.browser.call("Input.insertText", text=text)
        self.browser.key("Enter", 13, "\r")
        self.browser.wait(f"document.querySelectorAll('article').length === {messages} &&"
                          " document.querySelector('#send').offsetParent !== null")

    def texts(self):
        return self.browser.run("[...document.querySelectorAll('article p')].map((p) => p.textContent)")

    def test_a_conversation(self):
        browser = self.browser
        self.open()
        browser.shot("empty")
        self.say("hello <script>alert(1)</script>", 2)
        self.assertEqual(self.texts(), ["hello <script>alert(1)</script>", SAID])
        self.say("more", 4)
        self.assertEqual(self.texts()[3], SAID)
        context = browser.run("document.querySelector('#context').textContent")
        self.assertRegex(context, r"^\d+ tokens$")
        self.assertEqual(browser.run("document.querySelector('#bytes').textContent"), "4.0 KiB")
        self.assertRegex(browser.run("document.querySelector('#speed').textContent"), r"^\d+\.\d tokens/s$")
        browser.shot("desktop")
        first = browser.run("document.querySelector('#title').textContent")

        browser.run("document.querySelector('article .places button').click()")  # fork after the first reply
        browser.wait(f"document.querySelector('#title').textContent !== '{first}'")
        browser.wait("document.querySelectorAll('article').length === 2")
        browser.run(f"[...document.querySelectorAll('#list button')].find((b) => b.firstChild.data === '{first}').click()")
        browser.wait("document.querySelectorAll('article').length === 4")
        self.assertEqual(browser.run("document.querySelector('#context').textContent"), context)
        browser.run("document.querySelectorAll('article .places button')[1].click()")  # rewind there
        browser.wait("document.querySelectorAll('article').length === 2")

        browser.call("Page.reload")
        browser.wait("document.querySelectorAll('article').length === 2")
        browser.run("document.querySelector('#delete').click()")
        browser.wait("document.querySelectorAll('#list li').length === 1")
        self.assertEqual([entry for entry in browser.problems if "401" not in json.dumps(entry)], [])

    def import_session(self, name, ids):
        request = urllib.request.Request(f"{self.url}v1/sessions/import?id={name}", json.dumps(ids).encode(),
                                         {"Authorization": f"Bearer {KEY}", "Content-Type": "application/octet-stream"})
        urllib.request.urlopen(request, timeout=60).read()

    def open_session(self, name):
        begun = time.monotonic()
        self.browser.run(f"[...document.querySelectorAll('#list button')].find((b) => b.firstChild.data === '{name}').click()")
        self.browser.wait(f"document.querySelector('#title').textContent === '{name}' && "
                          "document.querySelectorAll('article').length > 0")
        return time.monotonic() - begun

    def test_a_million_tokens_open_at_once(self):
        browser = self.browser

        def said(text):  # tokens of the fake model: characters from '!' to '~', the space, 0 for the end
            return [95 if c == " " else ord(c) - 32 for c in text]

        def turn(i):
            return said(f"u:question {i}") + [0] + said(f"a:answer {i}") + [0]

        turns = [turn(i) for i in range(40_000)]
        self.import_session("turns", sum(turns, []))  # about 1.1 million
        self.import_session("one-word", said("u:tell me all") + [0] + said("a:" + "x" * 1_000_000 + "yz"))
        self.open()
        self.assertLess(self.open_session("turns"), 5)
        self.assertRegex(browser.run("document.querySelector('#context').textContent"), r"^1,\d{3},\d{3} tokens$")
        self.assertEqual(self.texts()[-2:], ["question 39999", "answer 39999"])
        for _ in range(2):
            before = browser.run("document.querySelectorAll('article').length")
            browser.run("document.querySelector('#earlier').click()")
            browser.wait(f"document.querySelectorAll('article').length > {before}")
        texts = self.texts()
        self.assertGreater(len(texts), 1000)
        # However it was cut, nothing is missing but the beginning of the first.
        count = len(texts) // 2 - 1
        wanted = [text for i in range(40_000 - count, 40_000) for text in (f"question {i}", f"answer {i}")]
        self.assertEqual(texts[-2 * count:], wanted)
        roles = browser.run("[...document.querySelectorAll('article')].map((a) => a.className).slice(-6)")
        self.assertEqual(roles, ["user", "assistant"] * 3)
        browser.shot("earlier")
        self.assertLess(self.open_session("one-word"), 5)
        browser.run("document.querySelector('#earlier').click()")
        browser.wait("document.querySelector('article p').textContent.length > 30000")
        self.assertEqual(len(self.texts()), 1)
        self.assertTrue(self.texts()[0].endswith("xyz"))
        self.say("more", 3)
        self.assertEqual(self.texts()[2], SAID)

    def test_a_short_conversation_has_nothing_earlier(self):
        browser = self.browser
        self.open()
        self.say("hello", 2)
        browser.call("Page.reload")
        browser.wait("document.querySelectorAll('article').length === 2")
        self.assertTrue(browser.run("document.querySelector('#earlier').hidden"))

    def test_a_reply_is_stopped_by_a_key(self):
        browser = self.browser
        self.open()
        browser.run("document.querySelector('#prompt').focus()")
        browser.call("Input.insertText", text="hello")
        browser.key("Enter", 13, "\r")
        browser.wait("document.querySelectorAll('article p').length === 2 &&"
                     " document.querySelectorAll('article p')[1].textContent.length > 3")
        browser.key("Escape", 27)
        browser.wait("document.querySelector('#send').offsetParent !== null && !page.abort")
        browser.wait("document.querySelectorAll('article .places button').length === 2")
        self.assertLess(len(self.texts()[1]), len(SAID))
        self.say("more", 4)

    def test_on_a_phone_in_the_dark(self):
        browser = self.browser
        browser.call("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=2, mobile=True)
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.open()
        self.say("hello", 2)
        self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), 360)
        self.assertTrue(browser.run("getComputedStyle(document.querySelector('nav')).display === 'none'"))
        browser.shot("phone")
        browser.run("document.querySelector('#menu').click()")
        self.assertEqual(browser.run("document.querySelector('#menu').getAttribute('aria-expanded')"), "true")
        browser.shot("phone-menu")
        browser.run("document.querySelector('#list button').click()")
        browser.wait("getComputedStyle(document.querySelector('nav')).display === 'none'")

    def test_everything_has_a_name_and_a_place_in_the_order_of_the_keyboard(self):
        browser = self.browser
        self.open()
        self.say("hello", 2)
        browser.call("Accessibility.enable")
        wanted = {"button", "textbox", "combobox", "spinbutton", "log", "navigation", "status"}
        nodes = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"]
                 if not node.get("ignored") and node.get("role", {}).get("value") in wanted]
        self.assertGreater(len(nodes), 12)
        for node in nodes:
            if node["role"]["value"] != "status":
                self.assertTrue(node.get("name", {}).get("value"), f"nameless: {node}")
        browser.run("document.body.focus(); document.activeElement.blur()")
        reached = set()
        for _ in range(30):
            browser.key("Tab", 9)
            reached.add(browser.run("document.activeElement.id || document.activeElement.textContent"))
        for stop in ("model", "new", "fork", "log", "prompt", "send", "Fork here", "Rewind to here"):
            self.assertIn(stop, reached)


if __name__ == "__main__":
    unittest.main()
