"""The routes without workers: who is let in, what errors look like, what the page may do."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from mien.emotions import EMOTIONS
from mien.palette import EMOTION_COLOURS
from mien.serve.app import PAGE, make_app
from mien.serve.settings import Settings

TOKEN = "0123456789abcdef0123456789abcdef"
HERE = "http://127.0.0.1:8000"
OPEN = Settings(workers=1, max_upload=1000)
CLOSED = Settings(workers=1, host="0.0.0.0", token=TOKEN)


def ask(
    path: str, settings: Settings = OPEN, *, method: str = "GET", **options: Any
) -> httpx.Response:
    """Ask an application of which no worker was started."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            return await client.request(method, path, **options)

    return asyncio.run(asked())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_it_runs_before_it_is_ready() -> None:
    assert ask("/healthz").status_code == 200
    unready = ask("/readyz")
    assert (unready.status_code, unready.json()) == (503, {"status": "starting"})
    assert "retry-after" in unready.headers


def test_bundle_tells_what_answers_and_its_limits() -> None:
    told = ask("/v1/bundle").json()
    assert told["labels"] == list(EMOTIONS)
    assert told["max_upload"] == 1000
    assert {"name", "sha256", "scores", "training", "licence", "version"} <= set(told)


@pytest.mark.parametrize("path", ["/v1/bundle", "/metrics", "/openapi.json"])
@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), bearer(TOKEN[:-1]), {"Authorization": TOKEN}]
)
def test_who_has_not_the_token_stays_out(path: str, headers: dict[str, str]) -> None:
    refused = ask(path, CLOSED, headers=headers)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["type"] == "NotAuthorised"
    assert TOKEN not in refused.text
    assert ask(path, CLOSED, headers=bearer(TOKEN)).status_code == 200


def test_page_and_health_hold_no_secret() -> None:
    for path in (*PAGE, "/healthz"):
        assert ask(path, CLOSED).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""]
)
def test_the_service_goes_by_its_own_name(host: str) -> None:
    assert ask("/", headers={"Host": host}).status_code == 403
    for own in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert ask("/", headers={"Host": own}).status_code == 200


def test_pages_of_other_places_are_refused_unless_they_are_allowed() -> None:
    there = {"Origin": "https://there.example"}
    assert ask("/v1/bundle", headers=there).json()["type"] == "OriginRefused"
    assert ask("/v1/bundle", headers={"Origin": HERE}).status_code == 200
    allowing = Settings(workers=1, allow_origin=("https://there.example",))
    answer = ask("/v1/bundle", allowing, headers=there)
    assert answer.headers["access-control-allow-origin"] == "https://there.example"
    asked = {**there, "Access-Control-Request-Method": "POST"}
    assert ask("/v1/predict", allowing, method="OPTIONS", headers=asked).status_code == 200
    assert ask("/v1/predict", method="OPTIONS", headers=asked).status_code == 403
    closed = ask("/v1/bundle", headers={"Origin": HERE})
    assert "access-control-allow-origin" not in closed.headers


def test_what_is_no_origin_is_refused_as_a_problem() -> None:
    answer = ask("/healthz", headers={"Origin": "http://["})
    assert answer.status_code == 403
    assert answer.json()["type"] == "OriginRefused"


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/healthz"])
def test_watchers_may_ask_for_the_head_alone(path: str) -> None:
    answer = ask(path, method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", ["/", "/v1/bundle", "/nowhere", "/page/main.js"])
def test_every_answer_tells_browsers_what_they_may(path: str) -> None:
    headers = ask(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize("path", PAGE)
def test_page_names_no_other_host_and_needs_no_inline_code(path: str) -> None:
    text = ask(path).text
    addresses = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+", text))
    assert addresses <= {"http://www.w3.org"}
    if path == "/":
        assert not re.search(r"\s(?:on\w+|style)\s*=|<style", text)
        assert re.findall(r"<script[^>]*>", text) == ['<script type="module" src="/page/main.js">']


def test_page_has_the_colours_of_mien() -> None:
    text = ask("/page/emotions.js").text
    assert all(name in text for name in EMOTIONS)
    assert all(colour in text for colour in EMOTION_COLOURS.values())


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "kind"),
    [
        ("GET", "/nowhere", {}, 404, "NotFound"),
        ("GET", "/v1/predict", {}, 405, "MethodNotAllowed"),
        ("POST", "/v1/timeline?people=nobody", {}, 422, "InvalidArgument"),
        ("POST", "/v1/timeline?hop_s=0.0001", {}, 422, "InvalidArgument"),
        ("POST", "/v1/predict", {"files": {"other": (None, "x")}}, 422, "InvalidArgument"),
        ("POST", "/v1/predict", {"content": b"x" * 1001}, 413, "UploadTooLarge"),
        ("POST", "/v1/timeline", {"content": b"x" * 1001}, 413, "UploadTooLarge"),
    ],
)
def test_errors_are_problems(
    method: str, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    answer = ask(path, method=method, **options)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["status"]) == (kind, status)


def test_full_service_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "places", 0)
    answer = ask("/v1/predict", method="POST", content=b"x")
    assert (answer.status_code, answer.json()["type"]) == (503, "ServiceBusy")
    assert int(answer.headers["retry-after"]) > 0


def test_requests_and_errors_are_counted_and_nobody_is_named() -> None:
    async def asked() -> str:
        transport = httpx.ASGITransport(make_app(OPEN))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            await client.post("/v1/predict?who=me", content=b"x" * 2000)
            await client.get("/somebody/else")
            return (await client.get("/metrics")).text

    text = asyncio.run(asked())
    assert 'mien_requests_total{route="/v1/predict",status="413"} 1.0' in text
    assert 'mien_requests_total{route="other",status="404"} 1.0' in text
    assert 'mien_errors_total{type="UploadTooLarge"} 1.0' in text
    assert "mien_queue_length 0.0" in text
    assert "who" not in text
    assert "somebody" not in text


def test_openapi_tells_of_the_token() -> None:
    told = ask("/openapi.json").json()
    assert told["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    asked = {
        path
        for path, methods in told["paths"].items()
        for each in methods.values()
        if "security" in each
    }
    assert asked == {"/v1/predict", "/v1/timeline", "/v1/bundle", "/metrics"}


def test_openapi_has_examples_and_no_page_of_another_host() -> None:
    description = ask("/openapi.json").json()
    predict = description["paths"]["/v1/predict"]["post"]
    example = predict["responses"]["200"]["content"]["application/json"]["example"]
    assert sum(example["probabilities"].values()) == pytest.approx(1)
    assert "application/problem+json" in predict["responses"]["413"]["content"]
    assert "multipart/form-data" in predict["requestBody"]["content"]
    assert ask("/docs").status_code == 404
