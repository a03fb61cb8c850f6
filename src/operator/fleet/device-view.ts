import { Refusal, refusalCodes, type RefusalCode } from '../../core/refusal/index.ts';
import {
  decodeTelemetry,
  foldPresence,
  type DeploymentEvent,
  type DeploymentUnderWay,
  type DeviceReport,
  type Presence,
  type Telemetry,
} from '../../wire/report/index.ts';
import { decodeEvent, decodeManyPresence, decodeReport } from '../../wire/report/report-codec.ts';

/** What an observer knows of one device. */
export interface DeviceView {
  readonly device: string;
  readonly presence?: Presence;
  readonly report?: DeviceReport;
  readonly telemetry?: Telemetry;
  /** Events since the observer connected, oldest first, at most 64. */
  readonly events: readonly DeploymentEvent[];
  /** How many events the observer has received in all, including those that are no longer kept. */
  readonly eventCount: number;
  /** The last message that could not be read, in words. */
  readonly unreadable?: string;
}

const keptEvents = 64;

/**
 * The view after one more message of the device. Never throws for an unreadable message: the view
 * records it.
 */
export function foldMessage(
  view: DeviceView,
  kind: 'reported' | 'live' | 'event' | 'telemetry',
  payload: Uint8Array,
): DeviceView {
  if (payload.length === 0) return view; // A cleared topic.
  try {
    switch (kind) {
      case 'reported':
        return { ...view, report: newerReport(view.report, decodeReport(payload)) };
      case 'telemetry':
        return { ...view, telemetry: decodeTelemetry(payload) };
      case 'live':
        return { ...view, presence: foldPresence(view.presence, decodeManyPresence(payload)) };
      case 'event':
        return {
          ...view,
          events: [...view.events, decodeEvent(payload)].slice(-keptEvents),
          eventCount: view.eventCount + 1,
        };
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { ...view, unreadable: error.message };
  }
}

/**
 * A broker may deliver a retained report after a newer one that it forwarded meanwhile. A wherryd
 * that is restarted counts from 1 again, at a later time.
 */
function newerReport(known: DeviceReport | undefined, next: DeviceReport): DeviceReport {
  const isOlder = known?.bootId === next.bootId && next.seq < known.seq && next.at <= known.at;
  return isOlder ? known : next;
}

/** How far a published version has come on a device. */
export type Progress =
  { readonly phase: 'waiting' } | Omit<DeploymentUnderWay, 'version' | 'group'> | Outcome;

export type Outcome =
  | { readonly phase: 'committed' }
  | {
      readonly phase: 'rolled-back' | 'refused' | 'superseded';
      readonly code: RefusalCode;
      readonly message: string;
    };

/**
 * The state of `version`, by everything that the device published. `eventsBefore` is the
 * `eventCount` that the view had when the version was published: a refusal without a version counts
 * only if it came later.
 *
 * @param group the group whose version it is; absent: the device's own
 */
export function progressOf(
  view: DeviceView,
  version: number,
  eventsBefore: number,
  group?: string,
): Progress {
  const forgotten = view.eventCount - view.events.length;
  for (const [index, event] of view.events.entries()) {
    if (event.group !== group) continue;
    const isOurs = event.version === version || (event.version === 0 && forgotten + index >= eventsBefore);
    if (isOurs) return event.outcome === 'committed' ? { phase: 'committed' } : outcome(event.outcome, event);
  }
  const { report } = view;
  if (report === undefined) return { phase: 'waiting' };
  if (report.refused?.version === version && report.refused.group === group)
    return outcome('refused', report.refused);
  const deployment = report.deployment?.group === group ? report.deployment : undefined;
  if (deployment?.version === version) {
    if (deployment.phase === 'committed') return { phase: 'committed' };
    if ('code' in deployment) return outcome(deployment.phase, deployment);
    const { version: _version, group: _group, ...progress } = deployment;
    return progress;
  }
  if (report.currentVersion === version && report.group === group) return { phase: 'committed' };
  const mark = group === undefined ? report : report.groups?.find(({ name }) => name === group);
  if (mark?.withdrawn === true && mark.trustedVersion === version) return { phase: 'committed' };
  // A deployment above the trusted version is older than the root that made versions restart.
  const trusted = mark?.trustedVersion ?? 0;
  const isTrusted = deployment !== undefined && deployment.version <= trusted;
  if (isTrusted && deployment.version > version) {
    const message = `version ${deployment.version} replaced it`;
    return outcome('superseded', { code: 'superseded', message });
  }
  return { phase: 'waiting' };
}

export function isOutcome(progress: Progress): progress is Outcome {
  return ['committed', 'rolled-back', 'refused', 'superseded'].includes(progress.phase);
}

function outcome(
  phase: Exclude<Outcome['phase'], 'committed'>,
  { code, message }: { readonly code: string; readonly message: string },
): Outcome {
  // A device of a later release may know more codes.
  const known = Object.hasOwn(refusalCodes, code) ? (code as RefusalCode) : 'internal';
  return { phase, code: known, message: known === code ? message : `${message} (${code})` };
}
