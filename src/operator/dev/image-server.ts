import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseRange } from './byte-range.ts';
import { listen, urlHost } from './listen.ts';

/** One answered request. */
export interface Access {
  readonly method: string;
  /** As it was requested. */
  readonly path: string;
  readonly status: number;
  /** First byte of the file that was sent. */
  readonly start: number;
  readonly sentBytes: number;
  /** False when the client left before the end. */
  readonly complete: boolean;
  readonly durationMs: number;
}

export interface ImageServerOptions {
  readonly directory: string;
  /** Address to listen on; `0.0.0.0` for devices on other machines. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly onAccess?: (access: Access) => void;
}

export interface ImageServer {
  readonly port: number;
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves the regular files of one directory, like a static web server in production: GET and HEAD,
 * strong ETag, Range with If-Range (RFC 9110 §13, §14). No listing, no hidden files, and nothing
 * outside the directory, even through links.
 * @throws Refusal `input-invalid` when it cannot listen on the port
 */
export async function startImageServer(options: ImageServerOptions): Promise<ImageServer> {
  const server = createServer((request, response) => {
    const startedAtMs = performance.now();
    void answer(options.directory, request, response).then(({ start, sentBytes, complete }) => {
      options.onAccess?.({
        method: request.method ?? '',
        path: request.url ?? '',
        status: response.statusCode,
        start,
        sentBytes,
        complete,
        durationMs: performance.now() - startedAtMs,
      });
    });
  });
  const port = await listen(server, options.host, options.port);
  return {
    port,
    url: `http://${urlHost(options.host)}:${port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Sent {
  readonly start: number;
  readonly sentBytes: number;
  readonly complete: boolean;
}

/** Answers one request; never rejects. */
async function answer(directory: string, request: IncomingMessage, response: ServerResponse): Promise<Sent> {
  const nothing = (status: number, headers: Record<string, string> = {}): Sent => {
    response.writeHead(status, { 'content-length': '0', ...headers }).end();
    return { start: 0, sentBytes: 0, complete: true };
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') return nothing(405, { allow: 'GET, HEAD' });
  const file = await openBelow(directory, request.url ?? '');
  if (file === undefined) return nothing(404);
  try {
    const { size, mtime, mtimeMs, ino } = await file.stat();
    // Strong: files are replaced by rename, so other bytes mean another inode or another time.
    const etag = `"${ino.toString(36)}-${Math.round(mtimeMs * 1000).toString(36)}-${size.toString(36)}"`;
    const headers: Record<string, string> = {
      etag,
      'last-modified': mtime.toUTCString(),
      'accept-ranges': 'bytes',
      'content-type': 'application/octet-stream',
    };
    if (request.headers['if-none-match'] === etag) return nothing(304, headers);
    // Only the entity tag: dates are weak validators within a second (RFC 9110 §13.1.5).
    const condition = request.headers['if-range'];
    const applies = condition === undefined || condition === etag;
    const range = applies ? parseRange(request.headers.range, size) : 'whole';
    if (range === 'unsatisfiable') return nothing(416, { ...headers, 'content-range': `bytes */${size}` });
    const { start, end } = range === 'whole' ? { start: 0, end: size - 1 } : range;
    if (range !== 'whole') headers['content-range'] = `bytes ${start}-${end}/${size}`;
    headers['content-length'] = String(end - start + 1);
    response.writeHead(range === 'whole' ? 200 : 206, headers);
    if (request.method === 'HEAD' || size === 0) {
      response.end();
      return { start, sentBytes: 0, complete: true };
    }
    return { start, ...(await send(file, start, end, response)) };
  } catch {
    // The disk failed or the file shrank: the connection ends early, so the client notices it.
    response.destroy();
    return { start: 0, sentBytes: 0, complete: false };
  } finally {
    await file.close();
  }
}

async function send(
  file: FileHandle,
  start: number,
  end: number,
  response: ServerResponse,
): Promise<Omit<Sent, 'start'>> {
  let sentBytes = 0;
  async function* counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      yield chunk;
      sentBytes += chunk.length;
    }
  }
  try {
    await pipeline(file.createReadStream({ start, end, autoClose: false }), counted, response);
    return { sentBytes, complete: true };
  } catch {
    return { sentBytes, complete: false }; // The client left.
  }
}

/**
 * Opens the regular file that `target` (the request's path) names below `directory`; undefined for
 * everything else.
 */
async function openBelow(directory: string, target: string): Promise<FileHandle | undefined> {
  let path: string;
  try {
    path = decodeURIComponent(target.split('?', 1)[0] ?? '');
  } catch {
    return undefined;
  }
  const parts = path.split('/').slice(1);
  const isPlain = (part: string) => part !== '' && !part.startsWith('.') && !/[\0\\]/.test(part);
  if (!path.startsWith('/') || !parts.every(isPlain)) return undefined;
  try {
    const root = await realpath(directory);
    const real = await realpath(join(root, ...parts));
    if (!real.startsWith(root + sep)) return undefined;
    // NONBLOCK: a FIFO would block the request forever.
    const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
    return undefined;
  } catch {
    return undefined; // Missing or unreadable: the client gets the same answer.
  }
}
