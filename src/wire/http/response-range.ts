import type { IncomingHttpHeaders } from 'node:http';
import { DownloadError, RangeRefused } from './download-error.ts';

/** The requested bytes: from `offset` up to `expectedBytes`, the size of the whole file. */
export interface WantedRange {
  readonly offset: number;
  readonly expectedBytes: number;
}

/**
 * The range of an answer's body: its first `skipBytes` were received before and must be skipped.
 */
export interface BodyRange {
  readonly skipBytes: number;
}

const contentRangeForm = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/;

/**
 * Checks the head of an answer to a request for `wanted` before its body is used.
 *
 * @param from the name of the server in messages
 * @returns where the body begins in the file (RFC 9110 §14.4; a server without ranges sends the
 *   whole file with 200)
 * @throws DownloadError `download-too-large` or `download-truncated` when the file on the server
 *   has another size than commanded, `download-failed` for another status or for a range that was
 *   not requested
 */
export function judgeResponse(
  from: string,
  status: number,
  headers: IncomingHttpHeaders,
  wanted: WantedRange,
): BodyRange {
  switch (status) {
    case 200:
      judgeSize(withCoding(from, headers), headers['content-length'], wanted.expectedBytes);
      return { skipBytes: wanted.offset };
    case 206:
      return { skipBytes: wanted.offset - judgeContentRange(from, headers['content-range'], wanted) };
    case 416: {
      const size = contentRangeForm.exec(headers['content-range'] ?? '')?.[3] ?? '*';
      if (size === '*' || Number(size) > wanted.offset) {
        throw new RangeRefused(`${from} refuses to send the bytes from ${wanted.offset} on`);
      }
      // The server has fewer bytes than we hold already.
      throw truncated(from, size, wanted.expectedBytes);
    }
    default:
      throw refusedStatus(from, status, headers);
  }
}

/** The error for a status without a part of the file. */
export function refusedStatus(from: string, status: number, headers: IncomingHttpHeaders): DownloadError {
  return new DownloadError('download-failed', `${from} answered with status ${status}`, {
    resumable: true,
    final: !isTransientStatus(status),
    retryAfterMs: retryAfterMs(headers['retry-after']),
  });
}

/**
 * `Retry-After` in seconds (RFC 9110 §10.2.3). Its other form, a date, has no effect: a device's
 * clock may be wrong.
 */
function retryAfterMs(header: string | undefined): number {
  return /^\d{1,9}$/.test(header ?? '') ? Number(header) * 1000 : 0;
}

/**
 * No coding is requested. A server may name one for a file that is stored compressed, which changes
 * no byte; an intermediary that compresses changes the size.
 */
export function withCoding(from: string, headers: IncomingHttpHeaders): string {
  const coding = headers['content-encoding'];
  return coding === undefined ? from : `${from} (in Content-Encoding ${JSON.stringify(coding.slice(0, 40))})`;
}

/** Whether a retry may succeed after this status (RFC 9110 §15.5.9, §15.6; RFC 6585 §4). */
export function isTransientStatus(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

/**
 * Where the part begins: at the requested byte, or before it (a server may align parts to its
 * blocks).
 */
function judgeContentRange(from: string, header: string | undefined, wanted: WantedRange): number {
  const parts = contentRangeForm.exec(header ?? '');
  if (parts?.[1] === undefined || parts[2] === undefined || parts[3] === undefined) {
    throw new RangeRefused(`${from} sent a part of the file without saying which`);
  }
  const first = Number(parts[1]);
  const last = Number(parts[2]);
  if (parts[3] !== '*') judgeSize(from, parts[3], wanted.expectedBytes);
  if (first > wanted.offset || last < wanted.offset || last >= wanted.expectedBytes) {
    throw new RangeRefused(
      `${from} sent bytes ${first}-${last} where ${wanted.offset}-${wanted.expectedBytes - 1} were requested`,
    );
  }
  return first;
}

function judgeSize(from: string, header: string | undefined, expectedBytes: number): void {
  if (header === undefined) return; // chunked: the size is checked at the end
  const size = Number(header);
  if (size > expectedBytes) {
    throw new DownloadError(
      'download-too-large',
      `${from} has ${size} bytes where ${expectedBytes} were commanded`,
      { resumable: false },
    );
  }
  if (size < expectedBytes) throw truncated(from, header, expectedBytes);
}

function truncated(from: string, size: string, expectedBytes: number): DownloadError {
  const has = size === '*' ? 'fewer bytes than' : `${size} bytes of`;
  return new DownloadError(
    'download-truncated',
    `${from} has ${has} the ${expectedBytes} that were commanded`,
    {
      resumable: false,
    },
  );
}

/**
 * The validator by which a later request ensures that it continues the same file: a strong ETag,
 * else a Last-Modified that is old enough to be strong (RFC 9110 §8.8.2.2, §13.1.5).
 */
export function strongValidator(headers: IncomingHttpHeaders): string | undefined {
  const etag = headers.etag;
  if (etag !== undefined && /^"[\x21\x23-\x7e]{0,256}"$/.test(etag)) return etag;
  const modified = headers['last-modified'];
  if (modified === undefined || modified.length > 64) return undefined;
  const ageMs = Date.parse(headers.date ?? '') - Date.parse(modified);
  return ageMs >= 1000 ? modified : undefined;
}
