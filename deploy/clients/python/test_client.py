"""The generated client against a real server at NEXUS_URL."""
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "dist" / "clients" / "python"))

from nexus_continuum_client import Client  # noqa: E402
from nexus_continuum_client.api.ask import interact  # noqa: E402
from nexus_continuum_client.api.jobs import get_job  # noqa: E402
from nexus_continuum_client.api.teach import list_answers, teach  # noqa: E402
from nexus_continuum_client.models import Answer, Ask, Error, Job, Trained  # noqa: E402
from nexus_continuum_client.models import Lessons, NewLesson  # noqa: E402


class TestClient(unittest.TestCase):
    def setUp(self):
        self.nexus = Client(base_url=os.environ["NEXUS_URL"])

    def test_what_is_taught_is_answered(self):
        lesson = NewLesson(prompt="How do I reset my password?", response="Open Settings.", topic="python")
        taught = teach.sync(client=self.nexus, body=Lessons(lessons=[lesson]), prefer="wait=30")
        self.assertIsInstance(taught, Job)
        job = get_job.sync(taught.id, client=self.nexus)
        self.assertIsInstance(job.result, Trained)
        self.assertEqual(job.result.lessons_taken, 1)
        answer = interact.sync(client=self.nexus, body=Ask(prompt="How do I reset my password?", topic="python"))
        self.assertIsInstance(answer, Answer)
        self.assertEqual(answer.response, "Open Settings.")
        self.assertEqual(len(list_answers.sync(client=self.nexus, topic="python").answers), 1)

    def test_an_error_has_its_code_and_field(self):
        got = interact.sync(client=self.nexus, body=Ask(prompt=""))
        self.assertIsInstance(got, Error)
        self.assertEqual((got.code, got.field), ("prompt_empty", "prompt"))


if __name__ == "__main__":
    unittest.main()
