import { Refusal } from '../../core/refusal/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { places, readLocks } from '../host/index.ts';
import { isAcName } from '../../image/appc/index.ts';
import type { Readable } from 'node:stream';
import { followLog, readLog } from './app-logs.ts';
import { deviceStatus } from './device-status.ts';
import { deviceStore } from './device-store.ts';
import { askToCollect, listGarbage } from './garbage.ts';
import { imageSummaries } from './images.ts';
import { inspectPod } from './inspect-pod.ts';
import type { LineStream } from './line-stream.ts';
import { addLock, approve, removeLock } from './locks.ts';
import { inspectNetwork, listNetworks } from './networks.ts';
import { changePod, listApps, type PodChange } from './pods.ts';
import { sampleUsage } from './usage.ts';

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** What the body holds, of a request that may have one. */
  readonly body: () => Promise<unknown>;
  /** The same body as it comes in, without a limit. */
  readonly input: Readable;
}

export interface ApiPorts {
  readonly clock: Clock;
  /** Aborted when the answer is not wanted any more. */
  readonly signal: AbortSignal;
}

/** Gives a value for JSON, or a {@link LineStream}. */
type Answer = (request: ApiRequest, names: readonly string[], ports: ApiPorts) => Promise<unknown>;

/** A change of a pod is answered within this time, however long its apps take to stop. */
const changeWithinMs = 60_000;
const maxLines = 1000;
const maxLockSeconds = 30 * 86_400;
const maxReasonCharacters = 200;

/** Every request, by method and path; docs/local-api.yaml describes each. `*` is a name. */
export const requests: Readonly<Record<string, Answer>> = {
  'GET /v1/status': () => deviceStatus(),
  'GET /v1/pods': () => listApps(),
  'GET /v1/pods/*': (_request, [pod = '']) => inspectPod(pod),
  'POST /v1/pods/*/stop': change('stop'),
  'POST /v1/pods/*/start': change('start'),
  'POST /v1/pods/*/restart': change('restart'),
  'GET /v1/pods/*/logs': async ({ query }, [pod = ''], { signal }) => {
    const [app, since] = [query.get('app') ?? undefined, query.get('since') ?? undefined];
    const follow = trueOrFalse('follow', query.get('follow') ?? 'false');
    const lines = wholeNumber('lines', Number(query.get('lines') ?? 100), maxLines, follow ? 0 : 1);
    const choice = {
      ...{ pod, lines },
      ...(app === undefined ? {} : { app }),
      ...(since === undefined ? {} : { since }),
    };
    if (!follow) return await readLog(choice);
    // What is wrong is refused before the first line.
    await readLog({ ...choice, lines: 1 });
    return ((write) => followLog(choice, write, signal)) satisfies LineStream;
  },
  'POST /v1/pods/*/apps/*/exec': async ({ query, input }, [pod = '', app = ''], { signal }) => {
    refuseOtherParameters(query, ['arg']);
    // Only here: it loads what compiles pods.
    const { execInApp } = await import('./exec-in-app.ts');
    return await execInApp({ pod, app, command: query.getAll('arg'), input }, signal);
  },
  'GET /v1/usage': (_request, _names, { clock }) => sampleUsage(() => clock.monotonicMs()),
  'GET /v1/networks': () => listNetworks(),
  'GET /v1/networks/*': (_request, [network = '']) => inspectNetwork(network),
  'GET /v1/images': () => imageSummaries(deviceStore),
  'GET /v1/garbage': () => listGarbage(deviceStore),
  'POST /v1/garbage/collect': async (_request, _names, { clock, signal }) => ({
    asked: await askToCollect(clock, signal),
  }),
  'GET /v1/locks': () => Promise.resolve(readLocks(places)),
  'PUT /v1/locks/*': async ({ body }, [name = ''], { clock }) => {
    const { reason, seconds, keep } = fieldsOf(await body(), ['reason', 'seconds', 'keep']);
    if (typeof reason !== 'string' || reason === '' || reason.length > maxReasonCharacters)
      throw invalid(`reason takes text of 1 to ${maxReasonCharacters} characters`);
    if (keep !== undefined && typeof keep !== 'boolean') throw invalid('keep takes true or false');
    const expires = Math.floor(clock.nowMs() / 1000) + wholeNumber('seconds', seconds, maxLockSeconds);
    return await addLock(places, name, { reason, expires, keep: keep === true });
  },
  'DELETE /v1/locks/*': async (_request, [name = '']) => {
    await removeLock(places, name);
    return { name };
  },
  'PUT /v1/approvals/*': async ({ query }, [text = '']) => {
    refuseOtherParameters(query, ['group']);
    const version = wholeNumber('the version', Number(text), Number.MAX_SAFE_INTEGER);
    const group = query.get('group') ?? undefined;
    await approve(places, version, group);
    return group === undefined ? { version } : { version, group };
  },
};

const known = Object.entries(requests).map(([key, answer]) => {
  const [method = '', path = ''] = key.split(' ');
  return { method, parts: path.split('/'), answer };
});

/**
 * Carries out a request and gives what the answer holds.
 * @throws Refusal
 */
export async function carryOut(request: ApiRequest, ports: ApiPorts): Promise<unknown> {
  const parts = request.path.split('/');
  const ofPath = known.filter((one) => matches(one.parts, parts));
  const found = ofPath.find(({ method }) => method === request.method);
  if (found === undefined) {
    const methods = ofPath.map(({ method }) => method).join(' and ');
    throw new Refusal(
      ofPath.length === 0 ? 'not-found' : 'usage',
      ofPath.length === 0
        ? `there is nothing at ${JSON.stringify(request.path.slice(0, 200))}`
        : `this path takes ${methods}, not ${request.method}`,
    );
  }
  return await found.answer(
    request,
    parts.filter((_, at) => found.parts[at] === '*'),
    ports,
  );
}

/** A name of a path is an AC Name or a number, so nothing of it is percent-encoded. */
function matches(pattern: readonly string[], parts: readonly string[]): boolean {
  return (
    pattern.length === parts.length &&
    pattern.every((one, at) => one === parts[at] || (one === '*' && isAcName(parts[at] ?? '')))
  );
}

function change(what: PodChange): Answer {
  return async (_request, [pod = '']) => {
    await changePod(what, pod, changeWithinMs);
    return { pod, change: what };
  };
}

function fieldsOf(value: unknown, allowed: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('expected a JSON object');
  const other = Object.keys(value).find((key) => !allowed.includes(key));
  if (other !== undefined)
    throw invalid(`there is no field ${JSON.stringify(other.slice(0, 80))}; fields: ${allowed.join(', ')}`);
  return value as Record<string, unknown>;
}

function refuseOtherParameters(query: URLSearchParams, allowed: readonly string[]): void {
  const other = [...query.keys()].find((key) => !allowed.includes(key));
  if (other !== undefined)
    throw invalid(
      `there is no parameter ${JSON.stringify(other.slice(0, 80))}; parameters: ${allowed.join(', ')}`,
    );
}

function trueOrFalse(what: string, text: string): boolean {
  if (text !== 'true' && text !== 'false') throw invalid(`${what} takes true or false`);
  return text === 'true';
}

function wholeNumber(what: string, value: unknown, max: number, min = 1): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max)
    throw invalid(`${what} takes a whole number from ${min} to ${max}`);
  return value;
}

function invalid(message: string): Refusal {
  return new Refusal('input-invalid', message);
}
