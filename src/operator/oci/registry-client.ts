import { Refusal } from '../../core/refusal/index.ts';
import { type Answer, askOnce, isSuccess } from './http-body.ts';
import { authorize } from './registry-auth.ts';
import type { RegistryOptions } from './registry-options.ts';
import { formatReference, type RegistryReference } from './registry-reference.ts';

const maxRedirects = 5;
/**
 * How often a registry may answer 429 to a request, and how long each wait may be: a person waits
 * for the command.
 */
const maxWaits = 5;
const maxDelayMs = 120_000;

/**
 * Requests the documents and blobs of one image from one registry (distribution-spec 1.1), with the
 * token that it requires.
 */
export class RegistryClient {
  readonly #reference: RegistryReference;
  readonly #options: RegistryOptions;
  readonly #base: string;
  readonly #shown: string;
  #authorization: string | undefined;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    this.#reference = reference;
    this.#options = options;
    this.#base = `${options.plainHttp ? 'http' : 'https'}://${reference.host}/v2/${reference.repository}`;
    this.#shown = formatReference(reference);
  }

  /**
   * The successful answer to `path` below the repository.
   * @param from the first byte to send: a registry that supports ranges answers 206, others send
   *   all
   * @throws Refusal `not-found` for 404, else `download-failed`
   */
  async ask(path: string, accept: string, from = 0): Promise<Answer> {
    let hasAuthorized = false;
    let waits = 0;
    for (;;) {
      const answer = await this.#send(new URL(`${this.#base}${path}`), accept, from);
      if (isSuccess(answer)) return answer;
      const { status, url, body } = answer;
      body.destroy();
      const isOwn = url.host === this.#reference.host;
      if (status === 401 && isOwn && !hasAuthorized) {
        // Tokens expire while a large image is read, so each request may get a new one.
        hasAuthorized = true;
        const challenge = body.headers['www-authenticate'] ?? '';
        this.#authorization = await authorize(challenge, this.#shown, this.#reference, this.#options);
      } else if (status === 429 && waits < maxWaits) {
        await this.#wait(body.headers['retry-after'], waits++);
      } else {
        throw this.#refused(status, path);
      }
    }
  }

  /** Sends one request and follows redirects; the authorization is sent to the registry only. */
  async #send(first: URL, accept: string, from: number): Promise<Answer> {
    let url = first;
    for (let redirects = 0; ; redirects++) {
      const isOwn = url.origin === first.origin;
      const authorization = isOwn ? this.#authorization : undefined;
      const headers = {
        accept,
        ...(from === 0 ? {} : { range: `bytes=${from}-` }),
        ...(authorization === undefined ? {} : { authorization }),
      };
      const answer = await askOnce(this.#options.http, url, headers, this.#shown);
      const { location } = answer.body.headers;
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return answer;
      answer.body.destroy();
      if (redirects === maxRedirects)
        throw this.#failed(`${first.host} redirects more than ${maxRedirects} times`);
      if (!URL.canParse(location, url.href))
        throw this.#failed(`${url.host} redirects to something that is not an address`);
      url = new URL(location, url);
      const isAllowed = url.protocol === 'https:' || (this.#options.plainHttp && url.protocol === 'http:');
      if (!isAllowed || url.username !== '') {
        throw this.#failed(`${first.host} redirects to ${url.protocol}//${url.host}, which is not followed`);
      }
    }
  }

  /**
   * Waits for `Retry-After` (RFC 9110 §10.2.3): seconds, or a date; without one, longer each time.
   */
  async #wait(retryAfter: string | undefined, waits: number): Promise<void> {
    const { clock, onWait } = this.#options;
    const delayMs = waitOf(retryAfter, clock.nowMs()) ?? 1000 * 2 ** waits;
    if (delayMs > maxDelayMs) {
      throw this.#failed(
        `${this.#reference.host} allows no more requests for ${Math.ceil(delayMs / 1000)} s; try again then, or with --credentials`,
      );
    }
    onWait?.(delayMs);
    await clock.sleep(delayMs);
  }

  #refused(status: number, path: string): Refusal {
    const { host } = this.#reference;
    if (status === 404) return new Refusal('not-found', `${this.#shown}: ${host} has no ${path.slice(1)}`);
    const account =
      this.#options.credentials === undefined
        ? '; it may require an account, see --credentials'
        : '; the account of --credentials may not have this image';
    const advice: Readonly<Record<number, string>> = {
      401: account,
      403: account,
      429: '; it allows no more requests for now',
    };
    const later = status >= 500 ? '; try again later' : '';
    return this.#failed(`${host} answered ${status} to ${path}${advice[status] ?? later}`);
  }

  #failed(problem: string): Refusal {
    return new Refusal('download-failed', `${this.#shown}: ${problem}`);
  }
}

/** Milliseconds; undefined for a missing or invalid header. */
function waitOf(retryAfter: string | undefined, nowMs: number): number | undefined {
  if (retryAfter === undefined) return undefined;
  if (/^\d{1,9}$/.test(retryAfter)) return Number(retryAfter) * 1000;
  const at = Date.parse(retryAfter);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
