import type { ImageName } from '../../image/appc/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { readMetaTags, type MetaTag } from './meta-tags.ts';
import type { HttpClient } from '../../wire/http/index.ts';

/**
 * What discovery found for an image (discovery.md), nearest first, in the order of the document.
 */
export interface Discovered {
  readonly endpoints: readonly Endpoint[];
  /** Addresses of armored public keys. Nothing is trusted because of them. */
  readonly keys: readonly string[];
  /** Requests that found nothing, in words for people. */
  readonly attempts: readonly string[];
  /** Some server gave no answer, so an address or key may exist that was not found. */
  readonly isUnsure: boolean;
}

/** The addresses of one template, of any scheme: it may name one that wherry cannot fetch. */
export interface Endpoint {
  /** Address of the `.aci` file. */
  readonly aci: string;
  /** Address of its signature. */
  readonly asc: string;
}

export interface DiscoveryOptions {
  readonly http: HttpClient;
  readonly clock: Clock;
  /** Request over http where https fails, as the reference does with its insecure option. */
  readonly allowHttp: boolean;
}

/** Limits for a web page. Only the tags in its head are needed. */
const maxPageBytes = 1 << 20;
const pageWithinMs = 20_000;

/**
 * Meta discovery: requests `https://NAME?ac-discovery=1` and, where that has no matching tag, the
 * parents of the name up to the host. Addresses and keys are searched independently, so keys may
 * come from a shorter prefix (as the reference does since 0.8.0). Prefixes match at `/` boundaries
 * only; docs/decisions/appc-differences.md has this and the other choices.
 *
 * @throws Refusal `input-invalid` for a label that has no place in an address
 */
export async function discover(image: ImageName, options: DiscoveryOptions): Promise<Discovered> {
  const values = templateValues(image);
  const attempts: string[] = [];
  let endpoints: readonly Endpoint[] = [];
  let keys: readonly string[] = [];
  let isUnsure = false;
  for (let prefix: string = image.name; prefix !== ''; prefix = parentOf(prefix)) {
    const { tags, isUnsure: isSilent } = await tagsAt(prefix, options, attempts);
    isUnsure ||= isSilent;
    const matching = (name: string) =>
      tags.filter((tag) => tag.name === name).flatMap((tag) => contentFor(image.name, tag));
    if (endpoints.length === 0) {
      endpoints = matching('ac-discovery').flatMap((template) => endpointOf(template, values));
    }
    if (keys.length === 0) keys = matching('ac-discovery-pubkeys');
    if (endpoints.length > 0 && keys.length > 0) break;
  }
  return { endpoints, keys, attempts, isUnsure };
}

/** The name without its last component; empty above the host. */
function parentOf(prefix: string): string {
  return prefix.slice(0, Math.max(prefix.lastIndexOf('/'), 0));
}

async function tagsAt(
  prefix: string,
  { http, clock, allowHttp }: DiscoveryOptions,
  attempts: string[],
): Promise<{ readonly tags: readonly MetaTag[]; readonly isUnsure: boolean }> {
  // A site may serve discovery over http only: one answer is enough.
  let isAnswered = false;
  for (const scheme of allowHttp ? ['https', 'http'] : ['https']) {
    const address = `${scheme}://${prefix}?ac-discovery=1`;
    try {
      const { status, body } = await http.get(address, { accept: 'text/html' }, pageWithinMs);
      if (status !== 200) {
        body.destroy();
        attempts.push(`${address} answered ${status}`);
        isAnswered ||= status === 404 || status === 410;
        continue;
      }
      const done = new AbortController();
      const late = clock.sleep(pageWithinMs, done.signal).then(
        () => void body.destroy(new Error(`not complete within ${pageWithinMs / 1000} s`)),
        () => undefined,
      );
      try {
        const tags = await readMetaTags(body, maxPageBytes);
        if (tags.length === 0) attempts.push(`${address} has no tag for discovery`);
        return { tags, isUnsure: false };
      } finally {
        done.abort();
        await late;
      }
    } catch (error) {
      attempts.push(`${address}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { tags: [], isUnsure: !isAnswered };
}

/** The part of a tag's content behind its prefix, if the prefix is one of `name`. */
function contentFor(name: string, { content }: MetaTag): readonly string[] {
  const [prefix = '', rest = '', ...more] = content.trim().split(/\s+/);
  const isPrefix = prefix !== '' && (name === prefix || name.startsWith(`${prefix.replace(/\/$/, '')}/`));
  return isPrefix && rest !== '' && more.length === 0 ? [rest] : [];
}

/**
 * Values of a template by name, encoded for an address. An absent version means the latest one, in
 * discovery only.
 */
function templateValues({ name, labels }: ImageName): ReadonlyMap<string, string> {
  const values = new Map([['version', 'latest']]);
  for (const label of labels) {
    if (/[\u0000-\u001f\u007f]/.test(label.value)) {
      throw new Refusal(
        'input-invalid',
        `the label ${label.name} has a control character, which no address can have`,
      );
    }
    values.set(label.name, encodeURIComponent(label.value));
  }
  return values.set('name', name);
}

function endpointOf(template: string, values: ReadonlyMap<string, string>): readonly Endpoint[] {
  const aci = render(template, new Map(values).set('ext', 'aci'));
  const asc = render(template, new Map(values).set('ext', 'aci.asc'));
  return aci === undefined || asc === undefined ? [] : [{ aci, asc }];
}

/** Undefined for a template without `{ext}`, or with a variable that the name does not define. */
function render(template: string, values: ReadonlyMap<string, string>): string | undefined {
  if (!template.includes('{ext}')) return undefined;
  const rendered = template.replace(/\{([^{}]*)\}/g, (whole, name: string) => values.get(name) ?? whole);
  return /[{}]/.test(rendered) || !URL.canParse(rendered) ? undefined : rendered;
}
