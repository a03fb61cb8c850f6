import type { JsonValue } from '../../image/appc/index.ts';

export interface ConvertedHealthCheck {
  readonly annotations: readonly { readonly name: string; readonly value: string }[];
  /** Differences from Docker on a device, in words. */
  readonly warnings: readonly string[];
}

/** The largest values that a device accepts (docs/app-builder.md, Annotations). */
const most = { words: 64, characters: 4096 } as const;

/** Member of a health check → annotation, its range, and Docker's default. */
const durations = [
  { member: 'Interval', annotation: 'wherry/probe-interval', maxSeconds: 3600, otherwise: 30 },
  { member: 'Timeout', annotation: 'wherry/probe-timeout', maxSeconds: 300, otherwise: 30 },
  { member: 'StartPeriod', annotation: 'wherry/probe-start-period', maxSeconds: 3600, otherwise: undefined },
] as const;
const retries = { annotation: 'wherry/probe-failures', max: 100, otherwise: 3 } as const;

const nanoseconds = 1e9;

/**
 * Docker's health check (moby, api/types/container, HealthConfig) as the exec probe of a device. A
 * device counts in whole seconds; parts of one are rounded up.
 */
export function convertHealthCheck(healthcheck: JsonValue): ConvertedHealthCheck {
  const members =
    typeof healthcheck === 'object' && healthcheck !== null && !Array.isArray(healthcheck)
      ? (healthcheck as Readonly<Record<string, JsonValue>>)
      : {};
  const command = commandOf(members['Test']);
  if (command === undefined) {
    return {
      annotations: [],
      warnings: ['its health check is none that Docker knows, and is kept but not run'],
    };
  }
  if (command.length === 0) return { annotations: [], warnings: [] };
  const value = JSON.stringify(command);
  if (command.length > most.words || value.length > most.characters) {
    return { annotations: [], warnings: ['its health check is longer than a device takes, and is not run'] };
  }
  const warnings: string[] = [];
  const bounded = (what: string, number: number, max: number): number => {
    if (number > max)
      warnings.push(`its health check has a longer ${what} than a device takes; it is ${max}`);
    return Math.min(number, max);
  };
  const annotations = [{ name: 'wherry/probe-exec', value }];
  for (const { member, annotation, maxSeconds, otherwise } of durations) {
    const given = numberOf(members[member]);
    const number = given > 0 ? bounded(member, Math.ceil(given / nanoseconds), maxSeconds) : otherwise;
    if (number !== undefined) annotations.push({ name: annotation, value: String(number) });
  }
  const given = Math.floor(numberOf(members['Retries']));
  const failures = given > 0 ? bounded('Retries', given, retries.max) : retries.otherwise;
  annotations.push({ name: retries.annotation, value: String(failures) });
  return { annotations, warnings };
}

/** The words to run; empty if the check is disabled, undefined for what Docker refuses. */
function commandOf(test: JsonValue | undefined): readonly string[] | undefined {
  if (!Array.isArray(test ?? [])) return undefined;
  const words = (test ?? []) as readonly JsonValue[];
  const texts = words.filter(
    (word) => typeof word === 'string' && !/[\0\p{Surrogate}]/u.test(word),
  ) as string[];
  if (texts.length < words.length) return undefined;
  const [kind, ...rest] = texts;
  switch (kind) {
    case undefined:
    case 'NONE':
      return [];
    case 'CMD':
      return rest[0] === undefined || rest[0] === '' ? undefined : rest;
    case 'CMD-SHELL':
      return rest.length === 1 ? ['/bin/sh', '-c', ...rest] : undefined;
    default:
      return undefined;
  }
}

function numberOf(value: JsonValue | undefined): number {
  const number = typeof value === 'object' ? NaN : Number(value);
  return Number.isFinite(number) ? number : 0;
}
