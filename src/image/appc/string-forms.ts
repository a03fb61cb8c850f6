import { mountPoint } from './app.ts';
import { quote, refuseFaults, SchemaFault } from './fault.ts';
import type { Read } from './fields.ts';
import type { JsonValue, MountPoint, Volume } from './types.ts';
import { volume } from './volume.ts';

/** How the text of a key becomes the JSON value of the schema; all others stay text. */
const converters: Readonly<Record<string, (text: string) => JsonValue>> = {
  readOnly: flag,
  recursive: flag,
  uid: integer,
  gid: integer,
};

/**
 * A mount point as typed: `database,path=/var/lib/db,readOnly=true`. @throws Refusal input-invalid
 */
export function parseMountPointString(text: string): MountPoint {
  return readForm(text, 'mount point', mountPoint);
}

/**
 * A volume as typed: `database,kind=host,source=/opt/db` or `work,kind=empty,mode=0777,uid=1000`.
 * @throws Refusal input-invalid
 */
export function parseVolumeString(text: string): Volume {
  return readForm(text, 'volume', volume);
}

function readForm<T>(text: string, what: string, read: Read<T>): T {
  return refuseFaults('input-invalid', what, () => {
    const [name = '', ...parts] = text.split(',');
    const members: Record<string, JsonValue> = Object.create(null) as Record<string, JsonValue>;
    members.name = name;
    for (const part of parts) {
      const [, key = '', value = ''] = /^([^=]*)=(.*)$/s.exec(part) ?? [];
      if (key === '' || value === '') throw new SchemaFault('', `expected KEY=VALUE, found ${quote(part)}`);
      if (key in members) throw new SchemaFault('', `the key ${quote(key)} is there twice`);
      members[key] = converters[key]?.(value) ?? value;
    }
    return read(members, '');
  });
}

function flag(text: string): JsonValue {
  return text === 'true' ? true : text === 'false' ? false : text;
}

function integer(text: string): JsonValue {
  return /^\d{1,10}$/.test(text) ? Number(text) : text;
}
