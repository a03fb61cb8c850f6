import { Refusal } from '../../core/refusal/index.ts';
import { isNone, type PodNetwork } from '../network/index.ts';
import type { CompiledPod, CompiledProbe, HostFacts } from './compiled-pod.ts';
import { execProcess } from './exec-process.ts';
import type { PodPlaces } from './places.ts';
import type { AppSettings } from './settings.ts';
import { probeUnit } from './units.ts';

/** The compiled probe of an app; without a probe, no units and no files. */
export type ProbeParts = Pick<CompiledPod, 'units' | 'files'> & { readonly probe?: CompiledProbe };

/**
 * Compiles the probe of an app. wherryd probes HTTP and TCP itself. A unit runs a program, so that
 * wherryd needs no privileges over the app.
 *
 * @throws Refusal `pod-manifest-invalid` for a probe that cannot reach the app
 */
export function compileProbe(input: {
  readonly podName: string;
  readonly app: string;
  readonly settings: AppSettings;
  /** config.json of the app's bundle: the program of the probe runs as its process does. */
  readonly config: string;
  readonly network: PodNetwork;
  readonly places: PodPlaces;
  readonly host: HostFacts;
}): ProbeParts {
  const { app, places } = input;
  const { probe } = input.settings;
  if (probe === undefined) return { units: [], files: [] };
  const { action, rules } = probe;
  if (action.kind !== 'exec') {
    if (isNone(input.network)) {
      throw new Refusal(
        'pod-manifest-invalid',
        `app ${app}: annotation wherry/probe-${action.kind}: the pod is in the network none, where no probe reaches it; use wherry/probe-exec`,
      );
    }
    return { units: [], files: [], probe: { ask: action, rules } };
  }
  const unit = places.probeUnit(app);
  const wanted = { command: action.command, hasTerminal: false, term: undefined };
  const process = execProcess(input.config, wanted);
  return {
    units: [{ name: unit, text: probeUnit({ ...input, rules }) }],
    files: [{ path: places.probeProcess(app), content: process, mode: 0o600 }],
    probe: { ask: { kind: 'exec', unit, directory: places.runtime(places.containerId(app)) }, rules },
  };
}
