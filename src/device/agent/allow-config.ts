import { defaultCapabilities } from '../../image/appc/index.ts';
import { type AllowList, isDevicePath, knownCapabilities, privilegedIsolators } from '../pod/index.ts';
import type { Table } from './config-table.ts';

/**
 * Places of app data by the Filesystem Hierarchy Standard, and what apps need to know certificate
 * authorities and the local time. Nothing there controls the device.
 */
const usualVolumes = [
  ...['/srv', '/mnt', '/media'],
  ...['/etc/ssl/certs:ro', '/etc/localtime:ro', '/usr/share/zoneinfo:ro', '/usr/share/ca-certificates:ro'],
];

/**
 * Reads `[allow]`. A key that is given replaces its default as a whole.
 * @throws Refusal config-invalid
 */
export function readAllowList(allow: Table): AllowList {
  const capabilities = allow.list(
    'capabilities',
    ['default'],
    'capabilities, "default" or "all", as in ["default", "CAP_NET_ADMIN"]',
    readCapabilities,
  );
  return {
    volumes: allow.list(
      'volumes',
      usualVolumes,
      'absolute paths, with ":ro" for reading only, as in ["/srv", "/etc/ssl/certs:ro"]',
      readVolume,
    ),
    devices: allow.list(
      'devices',
      [],
      'paths below /dev, in which * stands for any part of a name, as in ["/dev/ttyUSB*"]',
      (text) => (isDevicePath(text.replaceAll('*', '0')) ? text : undefined),
    ),
    capabilities: new Set(capabilities.flat()),
    root: allow.flag('root', true),
    hostPorts: allow.list(
      'host_ports',
      ['1-65535'],
      'ports and ranges, as in ["80", "8000-8999"]',
      readPorts,
    ),
    isolators: new Set(
      allow.list('isolators', [], `of ${privilegedIsolators.join(', ')}`, (text) =>
        privilegedIsolators.find((name) => name === text),
      ),
    ),
  };
}

function readVolume(text: string): AllowList['volumes'][number] | undefined {
  const readOnly = text.endsWith(':ro');
  const path = readOnly ? text.slice(0, -':ro'.length) : text;
  return path.startsWith('/') && !path.split('/').includes('..') ? { path, readOnly } : undefined;
}

function readCapabilities(text: string): readonly string[] | undefined {
  if (text === 'default') return defaultCapabilities;
  if (text === 'all') return [...knownCapabilities];
  return knownCapabilities.has(text) ? [text] : undefined;
}

function readPorts(text: string): AllowList['hostPorts'][number] | undefined {
  const match = /^([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?$/.exec(text);
  if (match === null) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
  return first <= last && last <= 65_535 ? { first, last } : undefined;
}
