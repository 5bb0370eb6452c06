"""The agent's API: JSON over HTTP on a unix socket. Imported only after the first enforcement (aiohttp takes 150 ms).

    POST   /v1/apply?source=NAME            documents as they are (YAML or JSON), one file; or several (asking.FILES)
    POST   /v1/create  /v1/replace  /v1/delete      with documents, like apply
    GET    /v1/resources/KIND[?name=..]     KIND is any alias; parameters: requests.GetQuery
    DELETE /v1/resources/KIND?name=..
    GET    /v1/described/KIND?name=..       with what selects it, what it selects, and what is wrong with it
    GET    /v1/revision?after=N             waits until the datastore is beyond that revision, if need be
    GET    /v1/enforced?revision=N          waits for a revision
    GET    /v1/status  /v1/version
    GET    /v1/counters[?all=1]             with a zero for each rule that no packet has met
    POST   /v1/trace                        a TraceQuery
    POST   /v1/explain                      an ExplainQuery
    POST   /v1/assert                       an AssertQuery
    POST   /v1/select                       what {selector} matches, and why not the others
    POST   /v1/config                       a ConfigQuery

Writes take the parameters of requests.WriteOptions. They wait for enforcement unless `wait=0`; `established=recheck`
or `kill` then has the new policy asked about connections that exist, or all of them forgotten. Every failure is an
`ErrorAnswer`. Documents are judged here, by the same code as everywhere; who may connect is `admission`'s business.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from tortie.apps.agent import asking
from tortie.apps.agent.admission import Admission
from tortie.apps.agent.aging import Reconsideration
from tortie.apps.agent.pump import Pump
from tortie.apps.agent.questions import Questions
from tortie.apps.agent.status import Status, counted
from tortie.apps.answers import EnforcedAnswer, RevisionAnswer, VersionAnswer, WriteAnswer
from tortie.apps.failure import Code, Failure
from tortie.apps.hits import HITS_KINDS, with_hits
from tortie.apps.kinds import find_kind
from tortie.apps.requests import GetQuery, Verb, WriteOptions, from_parameters
from tortie.apps.storefailure import failure_of
from tortie.apps.verbs import service
from tortie.apps.verbs.describing import describe
from tortie.apps.version import VERSION
from tortie.dataplane.driver import Established
from tortie.kernel.errors import KernelError
from tortie.store.protocol import Gone, Store, StoreError

log = logging.getLogger("tortie.agent.api")

MOST_BYTES = 32 * 1024 * 1024
WAIT_S = 30.0
"""How long a write waits for its enforcement; the answer then says that it is not enforced yet."""

Route = Callable[[web.Request], Awaitable[object]]


class Api:
    """The routes, over one store, pump and status."""

    def __init__(self, store: Store, pump: Pump, status: Status) -> None:
        self._store, self._pump, self._status = store, pump, status
        self._reconsideration = Reconsideration(pump.driver)

    def write(self, verb: Verb) -> Route:
        """The route that does this with documents, and says what the dataplane made of it."""

        async def route(request: web.Request) -> WriteAnswer:
            options = asking.write_options(request)
            files = await asking.files(request)
            return await self._waited(options, await service.write(self._store, verb, files, options))

        return route

    async def delete(self, request: web.Request) -> WriteAnswer:
        """Delete by kind and name."""
        options, word = asking.write_options(request), request.match_info["kind"]
        names = request.query.getall("name", [])
        if not names:
            raise Failure(Code.USAGE, f"which {find_kind(word).name} to delete? give at least one name")
        return await self._waited(options, await service.delete_named(self._store, word, names, options))

    async def _waited(self, options: WriteOptions, answer: WriteAnswer) -> WriteAnswer:
        if options.dry_run or not options.wait:
            return answer
        committed = time.monotonic()
        outcome = await self._pump.outcomes.reached(answer["revision"], WAIT_S)
        wait_ms = (time.monotonic() - committed) * 1e3
        latest = outcome or self._pump.outcomes.latest
        forgotten, kept_because = await self._reconsideration.run(Established(options.established), outcome)
        enforced = self._status.enforced(latest, wanted=answer["revision"], wait_ms=wait_ms)
        return {**answer, "enforced": [enforced], "forgotten": forgotten, "kept_because": kept_because}

    async def get(self, request: web.Request) -> object:
        """Resources of a kind."""
        query = from_parameters(GetQuery, asking.parameter(request))
        answer = await service.get(self._store, request.match_info["kind"], query)
        return (
            with_hits(answer, counted(self._status.hits))
            if query.view == "wide" and answer["kind"] in HITS_KINDS
            else answer
        )

    async def described(self, request: web.Request) -> object:
        """Resources of a kind with what they have to do with others."""
        query = from_parameters(GetQuery, asking.parameter(request))
        kind = find_kind(request.match_info["kind"])
        return await describe(self._store, kind, query, self._enforced_now(), lambda: asyncio.sleep(0))

    def _enforced_now(self) -> EnforcedAnswer:
        return self._status.enforced(self._pump.outcomes.latest, wanted=self._pump.revision)

    async def revision(self, request: web.Request) -> RevisionAnswer:
        """The datastore's revision, as soon as it is beyond the given one; at the latest after a while."""
        after = asking.number(request, "after", 0)
        try:
            async with asyncio.timeout(WAIT_S), contextlib.aclosing(self._store.watch(after)) as batches:
                async for batch in batches:
                    return {"revision": batch.revision}
        except (TimeoutError, Gone):
            pass
        return {"revision": (await self._store.list(""))[1]}

    async def enforced(self, request: web.Request) -> object:
        """What the dataplane made of a revision, as soon as it has it."""
        revision = asking.number(request, "revision", 0)
        started = time.monotonic()
        outcome = await self._pump.outcomes.reached(revision, WAIT_S)
        wait_ms = (time.monotonic() - started) * 1e3
        return self._status.enforced(outcome or self._pump.outcomes.latest, wanted=revision, wait_ms=wait_ms)

    async def status(self, request: web.Request) -> object:
        """One screen."""
        return self._status.whole()

    async def counters(self, request: web.Request) -> object:
        """Every counter."""
        return self._status.counters(everything=request.query.get("all") == "1")

    async def version(self, request: web.Request) -> object:
        """Which agent this is."""
        answer: VersionAnswer = {"version": VERSION, "node": self._status.settings.node}
        return answer


def application(api: Api, questions: Questions, admission: Admission) -> web.Application:
    """The routes as an application that answers failures in JSON and lets nobody take his time."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        admission.has_asked(request.transport)
        try:
            return await handler(request)
        except Failure as failure:
            return _answered(failure.answer(), failure.code.http_status)
        except StoreError as error:
            told = failure_of(error)
            return _answered(told.answer(), told.code.http_status)
        except web.HTTPException as error:
            text = (
                f"{request.method} {request.path[:80]}: {error.reason}; see the command line's --help for what there is"
            )
            code = Code.NOT_FOUND if error.status == 404 else Code.USAGE
            return _answered(Failure(code, text).answer(), error.status)
        except TimeoutError:
            text = f"the request did not arrive within {asking.REQUEST_S:.0f} s; send it again"
            return _answered(Failure(Code.USAGE, text).answer(), 408)
        except KernelError as error:
            return _answered(Failure(Code.FAILED, str(error)).answer(), Code.FAILED.http_status)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            log.exception("%s %s failed in a way nobody foresaw", request.method, request.path)
            return _answered(Failure(Code.FAILED, f"internal error: {error!r}; see the agent's log").answer(), 500)

    app = web.Application(client_max_size=MOST_BYTES, middlewares=[guard])
    for method, path, call in (
        *(("POST", f"/v1/{verb.value}", api.write(verb)) for verb in Verb),
        ("GET", "/v1/resources/{kind}", api.get),
        ("DELETE", "/v1/resources/{kind}", api.delete),
        ("GET", "/v1/described/{kind}", api.described),
        ("GET", "/v1/revision", api.revision),
        ("GET", "/v1/enforced", api.enforced),
        ("GET", "/v1/status", api.status),
        ("GET", "/v1/counters", api.counters),
        ("GET", "/v1/version", api.version),
        ("POST", "/v1/trace", questions.trace),
        ("POST", "/v1/explain", questions.explain),
        ("POST", "/v1/assert", questions.prove),
        ("POST", "/v1/select", questions.select),
        ("POST", "/v1/config", questions.config),
    ):
        app.router.add_route(method, path, _answering(call))
    return app


def _answering(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return _answered(await route(request), 200)

    return answer


def _answered(answer: object, status: int) -> web.Response:
    response = web.Response(body=json.dumps(answer).encode(), status=status, content_type="application/json")
    # One request for each connection: an idle client holds nothing.
    response.force_close()
    return response
