"""A model hub of one process: the few endpoints that pushing and pulling a package need.

Small files only: it asks the client to send every file inline with the commit.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import re
import threading

COMMIT = 'c' * 40
TOKEN = 'hf_token_of_a_test'


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_GET(self) -> None:
        if match := re.fullmatch(r'/api/models/([^/]+/[^/]+)(/revision/.+)?', self._route()):
            files = self.server.repositories.get(match[1])
            if files is None:
                return self._answer(404, {}, {'X-Error-Code': 'RepoNotFound'})
            siblings = [
                {'rfilename': name, 'size': self.server.sizes.get(name, len(content))}
                for name, content in files.items()
            ]
            content = {'id': match[1], 'sha': COMMIT, 'siblings': siblings}
            return self._answer(200, content)
        return self._file(with_body=True)

    def do_HEAD(self) -> None:
        self._file(with_body=False)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        if self.headers.get('Authorization') != f'Bearer {TOKEN}':
            return self._answer(401, {'error': 'Invalid credentials'})
        route = self._route()
        if route == '/api/repos/create':
            asked = json.loads(body)
            name = '/'.join(filter(None, (asked.get('organization'), asked['name'])))
            name = name if '/' in name else f'someone/{name}'
            self.server.repositories.setdefault(name, {})
            self.server.private[name] = asked.get('visibility') == 'private'
            return self._answer(200, {'url': f'{self.server.address}/{name}'})
        if route == '/api/validate-yaml':
            return self._answer(200, {'errors': [], 'warnings': []})
        if re.fullmatch(r'/api/models/[^/]+/[^/]+/preupload/.+', route):
            files = json.loads(body)['files']
            modes = [
                {'path': f['path'], 'uploadMode': 'regular', 'shouldIgnore': False} for f in files
            ]
            return self._answer(200, {'files': modes})
        if match := re.fullmatch(r'/api/models/([^/]+/[^/]+)/commit/.+', route):
            for line in body.splitlines():
                entry = json.loads(line)
                if entry['key'] == 'file':
                    content = base64.b64decode(entry['value']['content'])
                    self.server.repositories[match[1]][entry['value']['path']] = content
            url = f'{self.server.address}/{match[1]}/commit/{COMMIT}'
            return self._answer(200, {'commitUrl': url, 'commitOid': COMMIT})
        return self._answer(404, {'error': route})

    def _file(self, *, with_body: bool) -> None:
        match = re.fullmatch(r'/([^/]+/[^/]+)/resolve/[^/]+/(.+)', self._route())
        files = self.server.repositories.get(match[1], {}) if match else {}
        if not match or match[2] not in files:
            return self._answer(404, {}, {'X-Error-Code': 'EntryNotFound'})
        self.server.fetched.append(match[2])
        content = files[match[2]]
        headers = {'X-Repo-Commit': COMMIT, 'ETag': f'"{hashlib.sha1(content).hexdigest()}"'}
        return self._send(200, content, headers, with_body=with_body)

    def _route(self) -> str:
        return self.path.partition('?')[0].replace('%2F', '/')

    def _answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        headers = {'Content-Type': 'application/json', **(headers or {})}
        self._send(status, body, headers, with_body=self.command != 'HEAD')

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, 'Content-Length': str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class HubServer(ThreadingHTTPServer):
    """Holds repositories in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.sizes: dict[str, int] = {}
        """What the listing claims, where it is not the truth."""
        self.fetched: list[str] = []

    @property
    def address(self) -> str:
        return f'http://127.0.0.1:{self.server_address[1]}'


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """Serve a hub for the length of the block."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)
