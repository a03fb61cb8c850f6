import type { JsonValue } from './types.ts';

/** A JSON value under construction: members that are undefined are left out. */
export type JsonDraft =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonDraft[]
  | { readonly [key: string]: JsonDraft | undefined };

/**
 * The canonical text of `value`: no spaces, keys in their order, integers in full. `parseJson`
 * reads it back to an equal value.
 */
export function jsonText(value: JsonDraft | JsonValue): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${(value as readonly JsonDraft[]).map(jsonText).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value as { readonly [key: string]: JsonDraft | undefined }).flatMap(
    ([key, member]) => (member === undefined ? [] : [`${JSON.stringify(key)}:${jsonText(member)}`]),
  );
  return `{${members.join(',')}}`;
}
