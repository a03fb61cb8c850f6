import { createHash } from 'node:crypto';
import { Refusal } from '../../core/refusal/index.ts';
import { partOf } from './percent.ts';
import type { Stage } from './rollout.ts';

/**
 * The waves of a rollout: every device in exactly one. Named devices come first; the others are
 * ordered by a hash of the ID of the rollout and their name, so that the first devices differ
 * between rollouts, and every controller gets the same order. A stage that adds no device to the
 * one before has no wave. The remaining devices are the last wave.
 * @throws Refusal `usage` when a stage names a device that is not in the rollout, or a device twice
 */
export function wavesOf(
  id: string,
  devices: readonly string[],
  stages: readonly Stage[],
): readonly (readonly string[])[] {
  const named = stages.flatMap((stage) =>
    typeof stage === 'object' && 'devices' in stage ? stage.devices : [],
  );
  const known = new Set(devices);
  for (const [index, device] of named.entries()) {
    if (!known.has(device)) throw new Refusal('usage', `the stage of ${device}: it is not in the rollout`);
    if (named.indexOf(device) !== index) throw new Refusal('usage', `${device} is in two stages`);
  }
  const first = new Set(named);
  const rest = [...known]
    .filter((device) => !first.has(device))
    .map((device) => ({ device, at: placeOf(id, device) }));
  rest.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  const order = [...named, ...rest.map(({ device }) => device)];
  const waves: string[][] = [];
  let out = 0;
  for (const stage of [...stages, 'all' as const]) {
    const until = outAfter(stage, out, order.length);
    if (until > out) waves.push(order.slice(out, until));
    out = Math.max(out, until);
  }
  return waves;
}

/** How many devices the waves up to `stage` contain, if those before it contain `before`. */
function outAfter(stage: Stage, before: number, all: number): number {
  if (stage === 'all') return all;
  if ('devices' in stage) return Math.min(before + stage.devices.length, all);
  return Math.min('count' in stage ? stage.count : Math.ceil(partOf(all, stage.percent)), all);
}

/** The place of a device on the ring of a rollout. */
function placeOf(id: string, device: string): string {
  return createHash('sha256').update(`${id}\n${device}`).digest('hex');
}

/**
 * Reads a stage as people write it: `5`, `10%` or `33.3%`, `all`, or `device:crane-1,crane-2`.
 * @throws Refusal `usage`
 */
export function parseStage(text: string): Stage {
  if (text === 'all') return 'all';
  const [, count, percent, devices] =
    /^(?:([1-9]\d{0,8})|(\d{1,3}(?:\.\d{1,3})?)%|device:(.+))$/s.exec(text) ?? [];
  if (count !== undefined) return { count: Number(count) };
  if (Number(percent) > 0 && Number(percent) <= 100) return { percent: Number(percent) };
  if (devices !== undefined) return { devices: devices.split(',') };
  throw new Refusal(
    'usage',
    `${JSON.stringify(text)} is not a stage; a stage is a count (5), a share (10%), device:NAME,NAME or all`,
  );
}

/**
 * Reads all stages of a rollout.
 * @throws Refusal `usage`, also for a share or a count that is not larger than the one before: a
 *   stage contains those before it
 */
export function parseStages(texts: readonly string[]): readonly Stage[] {
  const stages = texts.map(parseStage);
  let [count, percent] = [0, 0];
  for (const stage of stages) {
    if (stage === 'all' || 'devices' in stage) continue;
    const isCount = 'count' in stage;
    const [size, before] = isCount ? [stage.count, count] : [stage.percent, percent];
    if (size <= before) {
      const [late, early] = [formatStage(stage), isCount ? String(before) : `${before}%`];
      throw new Refusal(
        'usage',
        `the stage ${late} adds no device to the stage ${early} before it: each stage contains the earlier ones`,
      );
    }
    if (isCount) count = size;
    else percent = size;
  }
  return stages;
}

export function formatStage(stage: Stage): string {
  if (stage === 'all') return 'all';
  if ('devices' in stage) return `device:${stage.devices.join(',')}`;
  return 'count' in stage ? String(stage.count) : `${stage.percent}%`;
}
