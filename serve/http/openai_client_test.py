"""OpenAI's own client against the HTTP server, whole and streamed.

Usage: openai_client_test.py FAKE_SERVER
"""

import subprocess
import sys
import unittest

import openai

SERVER = sys.argv.pop()
KEY = "0123456789abcdef"
SAID = "Hello there! <b>How</b> are you?\nFine, I hope."
HELLO = [{"role": "user", "content": "hello"}]


class OpenAiClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([SERVER, "0", KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.port = int(cls.server.stdout.readline())
        cls.client = openai.OpenAI(base_url=f"http://127.0.0.1:{cls.port}/v1", api_key=KEY, max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stdin.close()
        cls.server.stdout.close()
        code = cls.server.wait(timeout=20)
        assert code == 0, f"the server ended with {code}"

    def test_chat(self):
        reply = self.client.chat.completions.create(
            model="fake", messages=HELLO, temperature=0, logprobs=True, top_logprobs=2, max_completion_tokens=100
        )
        self.assertEqual(reply.choices[0].message.content, SAID)
        self.assertEqual(reply.choices[0].finish_reason, "stop")
        self.assertEqual(len(reply.choices[0].logprobs.content), reply.usage.completion_tokens)
        self.assertEqual(reply.choices[0].logprobs.content[0].token, "H")
        self.assertEqual(len(reply.choices[0].logprobs.content[0].top_logprobs), 2)
        self.assertEqual(reply.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertTrue(reply._request_id.startswith("req-"))

    def test_streamed_chat(self):
        stream = self.client.chat.completions.create(
            model="fake", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        text, reasons, usage = "", [], None
        for chunk in stream:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasons.append(choice.finish_reason)
            usage = chunk.usage or usage
        self.assertEqual(text, SAID)
        self.assertEqual(reasons[-1], "stop")
        self.assertEqual(usage.completion_tokens, len(SAID) + 1)

    def test_completion(self):
        reply = self.client.completions.create(model="fake", prompt="!!", max_tokens=5, logprobs=1)
        self.assertEqual(reply.choices[0].text, "Hello")
        self.assertEqual(reply.choices[0].finish_reason, "length")
        self.assertEqual(reply.choices[0].logprobs.tokens, list("Hello"))
        text = "".join(
            chunk.choices[0].text for chunk in self.client.completions.create(model="fake", prompt=[1, 2], stream=True)
        )
        self.assertEqual(text, SAID)

    def test_what_means_nothing_special_is_taken(self):
        said = self.client.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].message
        reply = self.client.chat.completions.create(
            model="gpt-4o",  # the only model answers, whatever its name
            messages=[*HELLO, said.model_dump(), *HELLO, {"role": "assistant", "content": None, "refusal": "No."}, *HELLO],
            n=1, top_p=0, stop=[], seed=None, logit_bias={}, tools=[], user="somebody", metadata={"a": "b"},
            service_tier="auto", prompt_cache_key="key", parallel_tool_calls=True, tool_choice="none",
        )
        self.assertEqual(reply.choices[0].message.content, SAID)
        self.assertEqual(reply.model, "fake")

    def test_sessions(self):
        first = self.client.chat.completions.create(model="fake", messages=HELLO, store=True)
        more = self.client.chat.completions.create(
            model="fake", messages=HELLO, extra_body={"previous_response_id": first.id}
        )
        self.assertEqual(more.state["tokens"], first.state["tokens"] + more.usage.total_tokens)
        session = first.state["session"]
        kept = self.client.chat.completions.create(model="fake", messages=HELLO, extra_body={"session_id": session})
        self.assertEqual(kept.state["session"], session)

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["fake"])
        self.assertEqual(self.client.models.retrieve("fake").owned_by, "radlads")

    def test_errors_are_the_clients_own(self):
        with self.assertRaisesRegex(openai.BadRequestError, "n is not supported"):
            self.client.chat.completions.create(model="fake", messages=HELLO, n=2)
        with self.assertRaisesRegex(openai.NotFoundError, "there is no model") as unknown:
            self.client.models.retrieve("other")
        self.assertEqual(unknown.exception.code, "model_not_found")
        with self.assertRaisesRegex(openai.BadRequestError, "guided_choice is not supported"):
            self.client.chat.completions.create(model="fake", messages=HELLO, extra_body={"guided_choice": ["yes", "no"]})
        stranger = self.client.with_options(api_key="another key altogether")
        with self.assertRaises(openai.AuthenticationError) as refused:
            stranger.models.list()
        self.assertEqual(refused.exception.code, "invalid_api_key")

    def test_a_stream_can_be_left(self):
        with self.client.chat.completions.create(model="fake", messages=HELLO, stream=True) as stream:
            next(iter(stream))
        self.assertEqual(self.client.models.list().data[0].id, "fake")


if __name__ == "__main__":
    unittest.main()
