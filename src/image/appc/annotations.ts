import { pointerTo, unexpected } from './fault.ts';
import { Fields, isObject, listOf, text, type Read } from './fields.ts';
import { acIdentifier } from './identifiers.ts';
import type { NameValue, UserMap } from './types.ts';

/**
 * Annotations whose value the specification defines (aci.md#image-manifest-schema): name → check,
 * and the expected value.
 */
const known: ReadonlyMap<string, readonly [(value: string) => boolean, string]> = new Map([
  ['created', [isTimestamp, 'a time by RFC 3339 such as "2015-05-18T13:49:28Z"']],
  ['homepage', [isWebAddress, 'an http or https URL']],
  ['documentation', [isWebAddress, 'an http or https URL']],
  [
    'appc.io/executor/supports-systemd-notify',
    [(value: string) => value === 'true' || value === 'false', '"true" or "false"'],
  ],
] as const);

const annotation: Read<NameValue> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'value']);
  const name = fields.required('name', acIdentifier);
  const content = fields.required('value', text);
  const [isValid, expected] = known.get(name) ?? [];
  if (isValid !== undefined && expected !== undefined && !isValid(content)) {
    throw unexpected(pointerTo(at, 'value'), expected, content);
  }
  return { name, value: content };
};

/**
 * Annotations of an image, a pod or an app: names are unique AC Identifiers
 * (docs/decisions/appc-differences.md, 19).
 */
export const annotations: Read<readonly NameValue[]> = listOf(annotation, {
  by: ({ name }) => name,
  what: 'annotation',
});

/** `userAnnotations` and `userLabels`: free keys, string values; nothing here reads them. */
export const userMap: Read<UserMap> = (value, at) => {
  if (!isObject(value)) throw unexpected(at, 'an object', value);
  for (const [key, member] of Object.entries(value)) text(member, pointerTo(at, key));
  return value as UserMap;
};

/**
 * Whether `value` is a date-time by RFC 3339 §5.6 with its `T`. Lower-case `t` and `z` and the leap
 * second are allowed, as the RFC does; a space in place of the `T` is not, as required by
 * types.md#timestamps-type.
 */
export function isTimestamp(value: string): boolean {
  const match =
    /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,32})?(?:Z|[+-](\d{2}):(\d{2}))$/i.exec(value);
  if (match === null) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, zoneHour = 0, zoneMinute = 0] = match
    .slice(1)
    .map((part: string | undefined) => Number(part ?? 0));
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
  return (
    day >= 1 &&
    day <= days &&
    hour <= 23 &&
    minute <= 59 &&
    (second <= 59 || (second === 60 && minute === 59)) &&
    zoneHour <= 23 &&
    zoneMinute <= 59
  );
}

/** Whether `value` is an absolute http or https URL with a host. */
export function isWebAddress(value: string): boolean {
  return (
    value.length <= 4096 && /^https?:\/\/[^\s/?#]/i.test(value) && !/\s/.test(value) && URL.canParse(value)
  );
}
