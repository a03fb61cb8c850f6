import { userMap } from './annotations.ts';
import { SchemaFault, unexpected } from './fault.ts';
import {
  absolutePath,
  Fields,
  integer,
  listOf,
  present,
  text,
  textThat,
  textWithoutNul,
  type Read,
} from './fields.ts';
import { acName } from './identifiers.ts';
import { isolatorList } from './isolator-list.ts';
import type { JsonDraft } from './json-text.ts';
import type { App, EventHandler, MountPoint, Port } from './types.ts';

/**
 * Highest user or group number; 4294967295 is (uid_t) -1, which chown(2) and setuid(2) treat as "no
 * change".
 */
export const maxAccountId = 4294967294;

const accountId = integer(0, maxAccountId);

const execLine: Read<readonly string[]> = (value, at) => {
  const line = listOf(textWithoutNul)(value, at);
  if (line[0] === '') throw new SchemaFault(`${at}/0`, 'expected the name of a program, found ""');
  return line;
};

const eventHandler: Read<EventHandler> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'exec']);
  const exec = fields.required('exec', execLine);
  if (exec.length === 0) throw new SchemaFault(at, 'expected an "exec" with the name of a program');
  return { name: fields.required('name', handlerName), exec };
};

const handlerName = textThat(
  (name): name is EventHandler['name'] => name === 'pre-start' || name === 'post-stop',
  '"pre-start" or "post-stop"',
);

/** `user` or `group`: a name, a number or the path of a file, whose owner is used. */
const account: Read<string> = (value, at) => {
  const name = text(value, at);
  if (name.startsWith('/')) return absolutePath(value, at);
  // A line break would inject another line into passwd.
  if (name === '' || name.length > 256 || /[\x00-\x1f\x7f:]/.test(name)) {
    throw unexpected(at, 'a user or group by name, number or path', value);
  }
  return name;
};

const variable: Read<{ name: string; value: string }> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'value']);
  return {
    name: fields.required('name', variableName),
    value: fields.required('value', textWithoutNul),
  };
};

const variableName = textThat(
  (name): name is string => name.length <= 4096 && /^[A-Za-z_][A-Za-z_0-9.-]*$/.test(name),
  'a variable name: letters, digits, _ . -, not starting with a digit',
);

export const mountPoint: Read<MountPoint> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'path', 'readOnly']);
  return {
    name: fields.required('name', acName),
    path: fields.required('path', absolutePath),
    readOnly: fields.flag('readOnly'),
  };
};

export const port: Read<Port> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'protocol', 'port', 'count', 'socketActivated']);
  const read: Port = {
    name: fields.required('name', acName),
    protocol: fields.required('protocol', protocolName),
    port: fields.required('port', integer(1, 65535)),
    // Writers of the reference that give no count write 0.
    count: Math.max(fields.optional('count', integer(0, 65535)) ?? 1, 1),
    socketActivated: fields.flag('socketActivated'),
  };
  if (read.port + read.count - 1 > 65535) {
    throw new SchemaFault(at, `expected ports up to 65535, found ${read.count} from ${read.port} on`);
  }
  return read;
};

const protocolName = textThat(
  (name): name is string => /^[\x21-\x7e]{1,64}$/.test(name),
  'the name of a protocol such as "tcp"',
);

const appKeys = [
  'exec',
  'user',
  'group',
  'supplementaryGIDs',
  // The specification's own example uses this spelling, and the reference accepts any case.
  'supplementaryGids',
  'eventHandlers',
  'workingDirectory',
  'environment',
  'isolators',
  'mountPoints',
  'ports',
  'userAnnotations',
  'userLabels',
];

/** The `app` object of image and pod manifests (aci.md#image-manifest-schema). */
export const app: Read<App> = (value, at) => {
  const fields = new Fields(value, at, appKeys);
  if (fields.has('supplementaryGIDs') && fields.has('supplementaryGids')) {
    throw new SchemaFault(`${at}/supplementaryGids`, 'the key is there twice, as "supplementaryGIDs" too');
  }
  const byName = ({ name }: { readonly name: string }): string => name;
  return {
    exec: fields.optional('exec', execLine) ?? [],
    user: fields.required('user', account),
    group: fields.required('group', account),
    supplementaryGids:
      fields.optional('supplementaryGIDs', listOf(accountId)) ??
      fields.optional('supplementaryGids', listOf(accountId)) ??
      [],
    eventHandlers: fields.list('eventHandlers', eventHandler, { by: byName, what: 'event handler' }),
    workingDirectory: fields.optional('workingDirectory', absolutePath) ?? '/',
    environment: fields.list('environment', variable, { by: byName, what: 'variable' }),
    isolators: fields.optional('isolators', isolatorList('app')) ?? [],
    mountPoints: fields.list('mountPoints', mountPoint, { by: byName, what: 'mount point' }),
    ports: fields.list('ports', port, { by: byName, what: 'port' }),
    ...present('userAnnotations', fields.optional('userAnnotations', userMap)),
    ...present('userLabels', fields.optional('userLabels', userMap)),
  };
};

/**
 * The members of `value` in the order in which the specification names them; defaults are left out.
 */
export function appDraft(value: App): JsonDraft {
  return {
    exec: value.exec,
    user: value.user,
    group: value.group,
    supplementaryGIDs: unlessEmpty(value.supplementaryGids),
    eventHandlers: unlessEmpty(value.eventHandlers.map(({ name, exec }) => ({ name, exec }))),
    workingDirectory: value.workingDirectory === '/' ? undefined : value.workingDirectory,
    environment: unlessEmpty(value.environment.map(nameValueDraft)),
    isolators: unlessEmpty(value.isolators.map(nameValueDraft)),
    mountPoints: unlessEmpty(
      value.mountPoints.map(({ name, path, readOnly }) => ({ name, path, readOnly: readOnly || undefined })),
    ),
    ports: unlessEmpty(value.ports.map(portDraft)),
    userAnnotations: value.userAnnotations,
    userLabels: value.userLabels,
  };
}

export function portDraft(value: Port): JsonDraft {
  return {
    name: value.name,
    protocol: value.protocol,
    port: value.port,
    count: value.count === 1 ? undefined : value.count,
    socketActivated: value.socketActivated || undefined,
  };
}

export function nameValueDraft(member: { readonly name: string; readonly value: JsonDraft }): JsonDraft {
  return { name: member.name, value: member.value };
}

export function unlessEmpty(list: readonly JsonDraft[]): readonly JsonDraft[] | undefined {
  return list.length === 0 ? undefined : list;
}
