import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiServer } from '../../../src/device/local-api/api-server.ts';
import { requests } from '../../../src/device/local-api/requests.ts';
import { type DescribedApi, describedApi } from '../../support/described-api.ts';

const hasJournal = existsSync('/usr/bin/journalctl');

let directory: string;
let server: Server;
let described: DescribedApi;
const lines: string[] = [];
const socketPath = (): string => join(directory, 'api.sock');

interface Reply {
  readonly status: number;
  readonly body: { readonly error?: { readonly code: string; readonly message: string } };
}

/** One request over the socket, checked against the description. */
async function ask(method: string, path: string, sent?: string): Promise<Reply> {
  const outgoing = request({ socketPath: socketPath(), method, path });
  outgoing.end(sent);
  const [incoming] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
  expect(incoming.headers['content-type']).toBe('application/json');
  let text = '';
  for await (const piece of incoming) text += String(piece);
  const reply: Reply = { status: incoming.statusCode ?? 0, body: JSON.parse(text) as Reply['body'] };
  expect(described.faults({ method, path, ...reply })).toEqual([]);
  return reply;
}

/** What the server sends on a new connection, until it closes the connection. */
async function raw(text: string, path = socketPath()): Promise<string> {
  const connection = connect(path);
  let answer = '';
  connection.on('data', (piece) => (answer += piece.toString()));
  connection.on('error', () => undefined);
  connection.write(text);
  await once(connection, 'close');
  return answer;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-api-'));
  described = await describedApi();
  server = apiServer({ log: (line) => lines.push(line) });
  server.listen(socketPath());
  await once(server, 'listening');
});
afterAll(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

describe('the local API', () => {
  it('[C181] has exactly the requests of its description', () => {
    const known = Object.keys(requests).map((key) => key.replaceAll('*', '{}'));
    expect(known.toSorted()).toEqual(
      described.operations.map((one) => one.replaceAll(/\{[a-z]+\}/g, '{}')).toSorted(),
    );
  });

  it.each([
    ['GET', '/', undefined, 404, 'not-found', 'there is nothing at "/"'],
    ['GET', '/v1/pods/../status', undefined, 404, 'not-found', 'there is nothing at'],
    ['GET', '/v1/pods/%2e%2e/logs', undefined, 404, 'not-found', 'there is nothing at'],
    ['GET', '/v1/pods/Web/logs', undefined, 404, 'not-found', 'there is nothing at'],
    ['DELETE', '/v1/status', undefined, 400, 'usage', 'this path takes GET, not DELETE'],
    ['GET', '/v1/locks/a', undefined, 400, 'usage', 'this path takes PUT and DELETE, not GET'],
    [
      'GET',
      '/v1/pods/web/logs?lines=1001',
      undefined,
      400,
      'input-invalid',
      'lines takes a whole number from 0 to 1000',
    ],
    ['GET', '/v1/pods/web/logs?lines=all', undefined, 400, 'input-invalid', 'lines takes a whole number'],
    [
      'GET',
      '/v1/pods/web/logs?app=A%20B',
      undefined,
      400,
      'usage',
      '"A B" is not the name of a pod or an app',
    ],
    ['GET', '/v1/pods/web/logs?since=%00', undefined, 400, 'input-invalid', 'since takes a time'],
    [
      'POST',
      '/v1/pods/web/apps/web/exec?arg=a&arg=%00',
      undefined,
      400,
      'input-invalid',
      'arg takes the program',
    ],
    ['PUT', '/v1/locks/a', '{', 400, 'input-invalid', 'the body is not JSON'],
    ['PUT', '/v1/locks/a', '[]', 400, 'input-invalid', 'expected a JSON object'],
    [
      'PUT',
      '/v1/locks/a',
      '{"reason":"x","seconds":0}',
      400,
      'input-invalid',
      'seconds takes a whole number',
    ],
    ['PUT', '/v1/locks/a', '{"reason":"","seconds":1}', 400, 'input-invalid', 'reason takes text'],
    [
      'PUT',
      '/v1/locks/a',
      '{"reason":"x","seconds":1,"keep":1}',
      400,
      'input-invalid',
      'keep takes true or false',
    ],
    [
      'PUT',
      '/v1/locks/a',
      '{"reason":"x","seconds":1,"__proto__":1}',
      400,
      'input-invalid',
      'there is no field "__proto__"',
    ],
    [
      'PUT',
      '/v1/locks/a',
      `{"reason":"${'x'.repeat(5000)}"}`,
      400,
      'input-invalid',
      'a body has at most 4096 bytes',
    ],
    ['PUT', '/v1/approvals/0', undefined, 400, 'input-invalid', 'the version takes a whole number'],
    ['PUT', '/v1/approvals/1e3', undefined, 400, 'input-invalid', 'the version takes a whole number'],
    [
      'PUT',
      '/v1/approvals/9007199254740993',
      undefined,
      400,
      'input-invalid',
      'the version takes a whole number',
    ],
    [
      'PUT',
      '/v1/approvals/1?group=No',
      undefined,
      400,
      'usage',
      '"No" is not a name of lower-case words and dashes',
    ],
    ['PUT', '/v1/approvals/1?grp=a', undefined, 400, 'input-invalid', 'there is no parameter "grp"'],
    ['DELETE', '/v1/locks/nobody-has-it', undefined, 404, 'not-found', 'there is no lock "nobody-has-it"'],
    ['GET', '/v1/pods/web/logs?folow=true', undefined, 400, 'input-invalid', 'there is no parameter "folow"'],
    ['GET', '/v1/pods/web/logs?follow=yes', undefined, 400, 'input-invalid', 'follow takes true or false'],
    ['GET', '/v1/pods/web/logs?lines=1e2', undefined, 400, 'input-invalid', 'lines takes a whole number'],
    ['GET', '/v1/pods/web/logs?lines=', undefined, 400, 'input-invalid', 'lines takes a whole number'],
    [
      'POST',
      '/v1/pods/web/apps/main/exec?arg=&arg=a',
      undefined,
      400,
      'input-invalid',
      'arg takes the program',
    ],
    [
      'POST',
      '/v1/pods/web/apps/main/exec?arg=sh',
      undefined,
      503,
      'device-unsupported',
      'set api.exec in wherry.toml',
    ],
  ])('[C182] refuses %s %s %s', async (method, path, sent, status, code, message) => {
    const reply = await ask(method, path, sent);
    expect(reply.status).toBe(status);
    expect(reply.body.error?.code).toBe(code);
    expect(reply.body.error?.message).toContain(message);
  });

  it.each([
    ['GET', '/v1/status?verbose=1', undefined, 'there is no parameter "verbose"; parameters: none'],
    ['POST', '/v1/pods/web/start?force=true', undefined, 'there is no parameter "force"'],
    ['DELETE', '/v1/locks/a?keep=1', undefined, 'there is no parameter "keep"'],
    ['GET', '/v1/pods/web/logs?lines=1&lines=2', undefined, 'the parameter lines is there twice'],
    ['PUT', '/v1/approvals/1?group=a&group=b', undefined, 'the parameter group is there twice'],
    ['PUT', '/v1/locks/a', '{"reason":"x","seconds":1,"seconds":2}', 'the key is there twice'],
  ])('[C337] ignores nothing that a request says: %s %s %s', async (method, path, sent, message) => {
    const reply = await ask(method, path, sent);
    expect(reply.status).toBe(400);
    expect(reply.body.error).toMatchObject({ code: 'input-invalid' });
    expect(reply.body.error?.message).toContain(message);
  });

  it('[C338] refuses what is not a request of HTTP in its own form, too', async () => {
    for (const [sent, status, message] of [
      ['nonsense\r\n\r\n', 400, 'not a request of HTTP/1.1'],
      [`GET / HTTP/1.1\r\nX: ${'x'.repeat(9000)}\r\n\r\n`, 431, 'more than 8 KiB'],
      ['GET /v1/nothing HTTP/1.1\r\n\r\n', 404, 'there is nothing at'], // without a host
    ] as const) {
      const answer = await raw(sent);
      const [head = '', body = ''] = answer.split('\r\n\r\n');
      expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*Content-Type: application/json`));
      expect(head).toContain(`Content-Length: ${body.length}`);
      expect((JSON.parse(body) as Reply['body']).error?.message).toContain(message);
    }
  });

  it('logs only requests that may change something', async () => {
    lines.length = 0;
    await ask('GET', '/v1/nothing');
    await ask('DELETE', '/v1/locks/nobody-has-it');
    expect(lines).toEqual(['DELETE /v1/locks/nobody-has-it: 404']);
  });

  it('[C183] refuses a body that does not arrive', async () => {
    const impatient = apiServer({ log: () => undefined, bodyWithinMs: 200 });
    const path = join(directory, 'impatient.sock');
    impatient.listen(path);
    await once(impatient, 'listening');
    const put = 'PUT /v1/locks/a HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n{';
    expect(await raw(put, path)).toMatch(/^HTTP\/1\.1 400 [^]*the body took more than 0.2 s/);
    impatient.close();
  });

  it.skipIf(!hasJournal)('[C215] follows eight logs and refuses the ninth', async () => {
    const path = '/v1/pods/web/logs?follow=true&lines=0';
    const followed = Array.from({ length: 8 }, () => {
      const outgoing = request({ socketPath: socketPath(), path });
      outgoing.on('error', () => undefined);
      return outgoing.end();
    });
    const answers = await Promise.all(
      followed.map(async (one) => {
        const [incoming] = (await once(one, 'response')) as [import('node:http').IncomingMessage];
        return [incoming.statusCode, incoming.headers['content-type']];
      }),
    );
    expect(answers).toEqual(Array.from({ length: 8 }, () => [200, 'application/x-ndjson']));
    expect(await ask('GET', path)).toMatchObject({
      status: 503,
      body: { error: { code: 'device-unsupported' } },
    });
    for (const one of followed) one.destroy();
    await expect.poll(() => connectionsOf(server)).toBe(0);
  });

  it.skipIf(!hasJournal)('[C215] ends with an error when the journal ends', async () => {
    const path = '/v1/pods/web/logs';
    const follow = async () => {
      const outgoing = request({ socketPath: socketPath(), path: `${path}?follow=true&lines=0` }).end();
      const [answer] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
      return answer;
    };
    let incoming = await follow();
    // The journalctl of a log without followers may not have ended yet.
    for (; incoming.statusCode === 503; incoming = await follow()) await once(incoming.resume(), 'end');
    // Nothing else of this process follows the journal.
    await promisify(execFile)('pkill', ['-KILL', '-P', String(process.pid), '-x', 'journalctl']);
    let text = '';
    for await (const piece of incoming) text += String(piece);
    const line = JSON.parse(text) as Reply['body'];
    expect(line.error).toEqual({
      code: 'device-unsupported',
      message: 'journalctl has ended; repeat the request',
    });
    expect(described.lineFaults('GET', path, line)).toEqual([]);
  });

  it('[C183] answers one request of a connection, and closes it', async () => {
    const one = 'GET /v1/nothing HTTP/1.1\r\nHost: d\r\n\r\n';
    const answer = await raw(one + one);
    expect(answer.match(/HTTP\/1\.1 404/g)).toHaveLength(1);
    expect(answer).toContain('Connection: close');
  });

  it('[C183] refuses headers above 8 KiB and input that is not HTTP', async () => {
    expect(await raw(`GET / HTTP/1.1\r\nHost: d\r\nX: ${'x'.repeat(9000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    );
    expect(await raw('nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('[C183] closes the connection above the sixteenth', async () => {
    await expect.poll(() => connectionsOf(server)).toBe(0);
    const held = Array.from({ length: 16 }, () => connect(socketPath()));
    await Promise.all(held.map((connection) => once(connection, 'connect')));
    // A connection counts once the server has accepted it, and it accepts them in turn.
    expect(await raw('')).toBe('');
    for (const connection of held) connection.destroy();
    await Promise.all(held.map((connection) => once(connection, 'close')));
    await expect.poll(() => connectionsOf(server)).toBe(0);
    expect((await ask('GET', '/v1/nothing')).status).toBe(404);
  });
});

async function connectionsOf(of: Server): Promise<number> {
  return await new Promise((resolve) => of.getConnections((_error, count) => resolve(count)));
}
