import type { CapabilityReport, DeviceReport } from './report.ts';
import { wireBytes, wireText } from './wire-text.ts';

/** The longest lists that the operator's decoder accepts. */
export const most = {
  pods: 64,
  apps: 64,
  isolators: 512,
  capabilities: 64,
  damaged: 256,
  addresses: 16,
  groups: 16,
  labels: 32,
} as const;

/** Fields that hold a sentence; every other text is a name. */
const sentences: ReadonlySet<string> = new Set(['message', 'detail', 'why']);

/**
 * A message with every text as `wireText` returns it, every number a count, and no list longer than
 * the decoder accepts. A report that the operator cannot read is worse than one with a cut text.
 */
export function sendable(value: unknown, field = ''): unknown {
  if (typeof value === 'string') {
    return wireText(value, sentences.has(field) ? wireBytes.sentence : wireBytes.name);
  }
  if (typeof value === 'number') return count(value);
  if (Array.isArray(value)) {
    const max = Object.hasOwn(most, field) ? most[field as keyof typeof most] : value.length;
    return value.slice(0, max).map((member) => sendable(member));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, sendable(member, key)]));
}

/**
 * A value that is not a count becomes 0. A count above 2^53 - 1 becomes 2^53 - 1, the largest that
 * JavaScript holds exactly.
 */
function count(value: number): number {
  if (Number.isNaN(value)) return 0;
  return Math.min(Math.max(Math.trunc(value), 0), Number.MAX_SAFE_INTEGER);
}

/**
 * Ways to make a report fit into `limitBytes`. The first one changes nothing. Each shortened report
 * has a note that it was shortened.
 */
export const shortenings: readonly ((report: DeviceReport, limitBytes: number) => DeviceReport)[] = [
  (report) => report,
  (report, limit) => shortened(withSentences(report, 256), limit, 'long texts are cut'),
  (report, limit) => shortened(withSentences(withoutIsolators(report), 256), limit, 'isolators are left out'),
  (report, limit) =>
    shortened(withSentences(withoutPods(report), 128), limit, 'pods and damaged images are left out'),
  (report, limit) =>
    shortened({ ...withoutPods(report), capabilities: [] }, limit, 'pods and capabilities are left out'),
];

function shortened(report: DeviceReport, limitBytes: number, detail: string): DeviceReport {
  const note: CapabilityReport = {
    name: 'full-report',
    available: false,
    detail: `the report is larger than the limit of ${limitBytes} bytes: ${detail}`,
  };
  return { ...report, capabilities: [note, ...report.capabilities] };
}

function withSentences(report: DeviceReport, maxBytes: number): DeviceReport {
  const short = (text: string): string => wireText(text, maxBytes);
  return {
    ...report,
    pods: report.pods.map((pod) => ({
      ...pod,
      apps: pod.apps.map(({ probe, ...app }) =>
        probe === undefined ? app : { ...app, probe: { ...probe, detail: short(probe.detail) } },
      ),
      isolators: pod.isolators.map((isolator) => ({ ...isolator, detail: short(isolator.detail) })),
    })),
    capabilities: report.capabilities.map((one) => ({ ...one, detail: short(one.detail) })),
    ...(report.damaged === undefined
      ? {}
      : { damaged: report.damaged.map((image) => ({ ...image, message: short(image.message) })) }),
  };
}

function withoutPods(report: DeviceReport): DeviceReport {
  const { damaged: _damaged, ...rest } = report;
  return { ...rest, pods: [] };
}

function withoutIsolators(report: DeviceReport): DeviceReport {
  return { ...report, pods: report.pods.map((pod) => ({ ...pod, isolators: [] })) };
}
