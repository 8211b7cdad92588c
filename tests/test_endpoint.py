"""The endpoint against real HTTP servers on this machine: one that serves our own model, one that misbehaves."""

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from course.reasoners.endpoint import Endpoint, EndpointError
from course.reasoners.formats import StoryFormat, WordProblemFormat
from course.reasoners.language import load_reasoner
from course.reasoners.simulated import Errors, SimulatedReasoner
from course.search import Action, Asking, Counts, answered, collect_solutions, searching
from course.search.asking import count_tokens
from course.stories import make_stories


@pytest.fixture
def serve():
    """serve(reply) starts a server whose answer to a request's body is reply(body) -> (status, headers, bytes)."""
    running = []

    def start(reply):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                seen.append((self.path, dict(self.headers), body))
                answer = reply(body)
                if answer is None:  # hangs up
                    self.close_connection = True
                    return
                status, headers, page = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(page)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_):
                pass

        seen: list = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", seen

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def choices(*texts, chat=True, reason="stop", usage=None):
    made = [
        {"index": i, "finish_reason": reason} | ({"message": {"content": t}} if chat else {"text": t})
        for i, t in enumerate(texts)
    ]
    return 200, {}, json.dumps({"choices": made} | ({"usage": {"total_tokens": usage}} if usage else {})).encode()


def in_turn(*answers):
    left = deque(answers)
    return lambda body: left.popleft() if len(left) > 1 else left[0]


def endpoint(url, waits=None, **options):
    return Endpoint(url, "any", sleep=(waits if waits is not None else []).append, **options)


def test_a_chat_gets_each_prompt_as_a_message_and_gives_n_texts(serve):
    url, seen = serve(lambda body: choices(*[body["messages"][0]["content"].upper()] * body["n"]))
    assert endpoint(url, key="secret")(["a", "b"], 2, 5, []) == [["A", "A"], ["B", "B"]]
    path, headers, body = seen[0]
    assert path == "/v1/chat/completions"
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer secret"
    assert (body["model"], body["max_tokens"]) == ("any", 5)


@pytest.mark.parametrize("make", [lambda: SimulatedReasoner(Errors(0.0, 0.3)), lambda: load_reasoner(temperature=0.0)])
def test_a_search_through_the_protocol_is_the_search_without_it(make, serve):
    (story,) = make_stories(1, seed=4, steps=(3,))
    model = make()
    lock = threading.Lock()

    def reply(body):
        stop = body.get("stop", [])
        with lock:
            (texts,) = model([body["prompt"]], body["n"], body["max_tokens"], stop)
        full = all(count_tokens(t) == body["max_tokens"] for t in texts) and not (stop and texts[0].endswith(stop[0]))
        cut = [t.removesuffix(stop[0]) if stop else t for t in texts]  # as the protocol wants it
        return choices(*cut, chat=False, reason="length" if full else "stop")

    url, _ = serve(reply)
    asking = Asking(StoryFormat(), counts=Counts(votes=2, sub_votes=2))
    near = answered(searching(story.text, asking, 2), make())
    far = answered(searching(story.text, asking, 2), endpoint(url, chat=False))
    assert [(n.text, n.visits, n.value) for n in far.walk()] == [(n.text, n.visits, n.value) for n in near.walk()]


def test_a_server_that_gives_one_text_at_a_time_is_asked_again(serve):
    url, seen = serve(lambda body: choices("one"))
    assert endpoint(url)(["a"], 3, 5, []) == [["one"] * 3]
    assert [body["n"] for _, _, body in seen] == [3, 2, 1]


def test_overload_and_nonsense_are_asked_again_after_growing_waits(serve):
    page = (502, {}, b"<html>Bad gateway</html>")
    url, _ = serve(in_turn((429, {"Retry-After": "7"}, b"slow down"), page, (200, {}, b"<html>"), choices("fine")))
    waits: list[float] = []
    assert endpoint(url, waits)(["a"], 1, 5, []) == [["fine"]]
    assert waits == [7, 2, 4]


@pytest.mark.parametrize(
    "page", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": ["x"]}', b"\xff\xfe", b'{"choices']
)
def test_a_server_that_keeps_sending_something_else_is_named(page, serve):
    url, seen = serve(lambda body: (200, {}, page))
    with pytest.raises(EndpointError, match=f"{url}/chat/completions sent something else than completions.*2 times"):
        endpoint(url, retries=1)(["a"], 1, 5, [])
    assert len(seen) == 2


def test_a_choice_without_a_text_is_an_empty_text(serve):
    url, _ = serve(lambda body: (200, {}, b'{"choices": [{"message": {"content": null}}]}'))
    assert endpoint(url)(["a"], 1, 5, ["."]) == [[""]]


def test_a_refusal_is_told_at_once_in_the_servers_words(serve):
    url, seen = serve(lambda body: (404, {}, b'{"error": "no model called any"}'))
    with pytest.raises(EndpointError, match=r"404 Not Found: .*no model called any"):
        endpoint(url)(["a"], 1, 5, [])
    assert len(seen) == 1


def test_a_server_that_hangs_up_or_is_silent_or_down_is_told(serve):
    url, _ = serve(lambda body: None)
    with pytest.raises(EndpointError, match="cannot be reached"):
        endpoint(url, retries=1)(["a"], 1, 5, [])
    answering = threading.Event()
    url, _ = serve(lambda body: answering.wait() and None)
    with pytest.raises(EndpointError, match=r"was silent for 0\.05 s"):
        endpoint(url, retries=0, timeout=0.05)(["a"], 1, 5, [])
    answering.set()
    with pytest.raises(EndpointError, match="cannot be reached"):
        endpoint("http://127.0.0.1:9/v1", retries=0)(["a"], 1, 5, [])


def test_the_budget_is_never_exceeded_even_at_the_worst(serve):
    used = []

    def reply(body):
        used.append(len(body["messages"][0]["content"]) + body["n"] * body["max_tokens"])  # all that it may
        return choices(*["x"] * body["n"], usage=used[-1])

    url, _ = serve(reply)
    model = endpoint(url, budget=1000)
    texts = model(["a" * 50] * 20, 4, 20, [])
    assert sum(used) == model.tokens <= 1000
    assert model.exhausted
    assert 0 < sum(text == "x" for some in texts for text in some) == 4 * len(used)


def test_a_silent_server_is_not_paid_for_twice_from_one_budget(serve):
    url, seen = serve(lambda body: (200, {}, b"nonsense, computed at length"))
    model = endpoint(url, budget=250, retries=5)
    assert model(["a" * 50], 1, 20, []) == [[""]]
    assert len(seen) == 2  # each may have cost 50 + 20 + what a server adds
    assert model.tokens <= 250


def test_a_url_without_http_is_refused():
    with pytest.raises(ValueError, match="base_url is 'localhost:8000'"):
        Endpoint("localhost:8000", "any")


def test_a_search_of_word_problems_reads_what_a_large_model_writes():
    """A model that follows instructions, by what they ask for."""

    def model(prompts, n, max_new, stop):
        def text(prompt):
            task, last = prompt.split("\n")[0], "How many are left?"
            if task.startswith("Write the next question"):
                return last if "So far" in prompt else "How many eggs are there?\nI think"
            if task.startswith("Put the problem"):
                return "There are 3 rows.\nEach has 4 eggs.\nTwo are broken.\nHow many are left?"
            if "beginning from the problem" in task:
                return "Rows hold 3 * 4 = 12.\nThe answer is 12."
            if "Then write" in task or task.startswith("Write the rest"):
                return "There are 3 * 4 = 12, so 12 - 2 = 10.\nThe answer is $10.00."
            return "There are 3 * 4 = 12."

        return [[text(prompt)] * n for prompt in prompts]

    question = "A box holds 3 rows of 4 eggs. Two are broken. How many are left?"
    root = answered(searching(question, Asking(WordProblemFormat()), 8), model)
    answers = {node.answer for node in collect_solutions(root)}
    assert answers == {10.0}
    again = [node.text for node in root.walk() if node.action is Action.REANSWER]
    assert set(again) == {"How many eggs are there? Rows hold 3 * 4 = 12. that makes 12."}
