import { Refusal } from '../../core/refusal/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { places, readLocks } from '../host/index.ts';
import type { Readable } from 'node:stream';
import { followLog, readLog } from './app-logs.ts';
import {
  askedApproval,
  askedCommand,
  askedLock,
  askedLog,
  namesOf,
  refuseOtherParameters,
} from './read-request.ts';
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
  /** Reads the body as JSON, for a request that may have one. */
  readonly body: () => Promise<unknown>;
  /** The same body as a stream, without a limit. */
  readonly input: Readable;
}

export interface ApiPorts {
  readonly clock: Clock;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** Returns a value for JSON, or a {@link LineStream}. */
type Answer = (request: ApiRequest, names: readonly string[], ports: ApiPorts) => Promise<unknown>;

/** A change of a pod is answered within this time, however long its apps take to stop. */
const changeWithinMs = 60_000;

/** Every request, by method and path; docs/local-api.yaml describes each. `*` is a name. */
export const requests: Readonly<Record<string, Answer>> = {
  'GET /v1/status': () => deviceStatus(),
  'GET /v1/pods': () => listApps(),
  'GET /v1/pods/*': (_request, [pod = '']) => inspectPod(pod),
  'POST /v1/pods/*/stop': change('stop'),
  'POST /v1/pods/*/start': change('start'),
  'POST /v1/pods/*/restart': change('restart'),
  'GET /v1/pods/*/logs': async ({ query }, [pod = ''], { signal }) => {
    const { follow, ...choice } = askedLog(query, pod);
    if (!follow) return await readLog(choice);
    // Errors are refused before the first line.
    await readLog({ ...choice, lines: 1 });
    return ((write) => followLog(choice, write, signal)) satisfies LineStream;
  },
  'POST /v1/pods/*/apps/*/exec': async ({ query, input }, [pod = '', app = ''], { signal }) => {
    const command = askedCommand(query);
    // Imported here only: it loads the compiler of pods.
    const { execInApp } = await import('./exec-in-app.ts');
    return await execInApp({ pod, app, command, input }, signal);
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
    const lock = askedLock(await body(), Math.floor(clock.nowMs() / 1000));
    return await addLock(places, name, lock);
  },
  'DELETE /v1/locks/*': async (_request, [name = '']) => {
    await removeLock(places, name);
    return { name };
  },
  'PUT /v1/approvals/*': async ({ query }, [text = '']) => {
    const { version, group } = askedApproval(query, text);
    await approve(places, version, group);
    return group === undefined ? { version } : { version, group };
  },
};

const known = Object.entries(requests).map(([key, answer]) => {
  const [method = '', path = ''] = key.split(' ');
  return { method, parts: path.split('/'), answer };
});

/**
 * The answer to a method and a path, with the names in the path.
 * @throws Refusal `not-found`, `usage`
 */
export function routeOf(
  method: string,
  path: string,
): { readonly answer: Answer; readonly names: readonly string[] } {
  const ofPath = known.flatMap((one) => {
    const names = namesOf(one.parts, path);
    return names === undefined ? [] : [{ ...one, names }];
  });
  const found = ofPath.find((one) => one.method === method);
  if (found !== undefined) return found;
  const methods = ofPath.map((one) => one.method).join(' and ');
  throw new Refusal(
    ofPath.length === 0 ? 'not-found' : 'usage',
    ofPath.length === 0
      ? `there is nothing at ${JSON.stringify(path.slice(0, 200))}`
      : `this path takes ${methods}, not ${method}`,
  );
}

/**
 * Carries out a request, and returns the content of the answer.
 * @throws Refusal
 */
export async function carryOut(request: ApiRequest, ports: ApiPorts): Promise<unknown> {
  const { answer, names } = routeOf(request.method, request.path);
  // These have parameters, and check them.
  if (!/\/(logs|exec)$|^\/v1\/approvals\//.test(request.path)) refuseOtherParameters(request.query, []);
  return await answer(request, names, ports);
}

function change(what: PodChange): Answer {
  return async (_request, [pod = '']) => {
    await changePod(what, pod, changeWithinMs);
    return { pod, change: what };
  };
}
