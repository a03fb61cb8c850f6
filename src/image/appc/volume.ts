import { SchemaFault } from './fault.ts';
import { absolutePath, boolean, Fields, integer, textThat, type Read } from './fields.ts';
import { acName } from './identifiers.ts';
import { maxAccountId } from './app.ts';
import type { JsonDraft } from './json-text.ts';
import type { Volume } from './types.ts';

const kind = textThat(
  (text): text is Volume['kind'] => text === 'empty' || text === 'host',
  '"empty" or "host"',
);
const octalMode = textThat(
  (text): text is string => /^0?[0-7]{3,4}$/.test(text),
  'permission bits in octal such as "0755"',
);

/**
 * Keys that only one kind has. The specification allows the other kind to ignore them; the
 * reference refuses them, and so does wherry.
 */
const foreignKeys: Readonly<Record<Volume['kind'], readonly string[]>> = {
  empty: ['source'],
  host: ['mode', 'uid', 'gid'],
};

/**
 * A volume (pods.md#pod-manifest-schema). `recursive` of an empty volume is checked and dropped: it
 * has no meaning there.
 */
export const volume: Read<Volume> = (value, at) => {
  const fields = new Fields(value, at, [
    'name',
    'kind',
    'readOnly',
    'source',
    'recursive',
    'mode',
    'uid',
    'gid',
  ]);
  const base = { name: fields.required('name', acName), readOnly: fields.flag('readOnly') };
  const read = fields.required('kind', kind);
  for (const key of foreignKeys[read]) {
    if (fields.has(key)) throw new SchemaFault(`${at}/${key}`, `a volume of kind "${read}" has no "${key}"`);
  }
  const recursive = fields.optional('recursive', boolean) ?? true;
  if (read === 'host')
    return { kind: read, ...base, source: fields.required('source', absolutePath), recursive };
  return {
    kind: read,
    ...base,
    mode: parseInt(fields.optional('mode', octalMode) ?? '0755', 8),
    uid: fields.optional('uid', integer(0, maxAccountId)) ?? 0,
    gid: fields.optional('gid', integer(0, maxAccountId)) ?? 0,
  };
};

export function volumeDraft(value: Volume): JsonDraft {
  const base = { name: value.name, kind: value.kind, readOnly: value.readOnly || undefined };
  if (value.kind === 'host') {
    return { ...base, source: value.source, recursive: value.recursive ? undefined : false };
  }
  return {
    ...base,
    mode: value.mode === 0o755 ? undefined : value.mode.toString(8).padStart(4, '0'),
    uid: value.uid === 0 ? undefined : value.uid,
    gid: value.gid === 0 ? undefined : value.gid,
  };
}
