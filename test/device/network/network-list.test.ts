import { describe, expect, it } from 'vitest';
import { readNetworkList } from '../../../src/device/network/network-list.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';

const good = { cniVersion: '1.0.0', name: 'lan', plugins: [{ type: 'macvlan', master: 'eth0' }] };

function fault(text: string, hasDirectory = false): string {
  try {
    readNetworkList('lan', text, hasDirectory);
  } catch (error) {
    if (isRefusal(error, 'config-invalid')) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('a configuration list of the operator', () => {
  it('keeps keys that the runtime does not read', () => {
    expect(readNetworkList('lan', JSON.stringify(good))).toEqual({
      ...good,
      takesPorts: false,
    });
  });

  it('accepts host ports if a plugin has the capability', () => {
    const list = {
      ...good,
      plugins: [...good.plugins, { type: 'portmap', capabilities: { portMappings: true } }],
    };
    expect(readNetworkList('lan', JSON.stringify(list)).takesPorts).toBe(true);
  });

  it('has leases in memory unless it names a place', () => {
    const plugins = (dataDir?: string) => [
      { type: 'ptp', ipam: { type: 'host-local', ...(dataDir && { dataDir }) } },
    ];
    const read = (dataDir?: string) =>
      readNetworkList('lan', JSON.stringify({ ...good, plugins: plugins(dataDir) })).plugins[0]?.['ipam'];
    expect(read()).toEqual({ type: 'host-local', dataDir: '/run/wherry/leases' });
    expect(read('/var/lib/leases')).toEqual({ type: 'host-local', dataDir: '/var/lib/leases' });
    const dhcp = { ...good, plugins: [{ type: 'macvlan', ipam: { type: 'dhcp' } }] };
    expect(readNetworkList('lan', JSON.stringify(dhcp)).plugins).toEqual(dhcp.plugins);
  });

  it.each([
    ['1.0.0', undefined, '1.0.0'],
    ['0.4.0', ['0.3.1', '0.4.0', '1.0.0'], '1.0.0'],
    ['1.1.0', ['0.4.0'], '1.1.0'],
    ['0.3.1', ['0.4.0', '2.0.0'], '0.4.0'],
    [undefined, ['1.1.0', '1.0.0'], '1.1.0'],
    ['1.0.0', [], '1.0.0'],
  ])('uses the highest version that wherry supports: %s, %s [C368]', (cniVersion, cniVersions, chosen) => {
    const text = JSON.stringify({ ...good, cniVersion, cniVersions });
    expect(readNetworkList('lan', text).cniVersion).toBe(chosen);
  });

  it('uses no plugins of a directory, and says so [C368]', () => {
    expect(fault(JSON.stringify(good), true)).toBe(
      '/etc/wherry/networks/lan.conflist: the plugins in the directory lan beside it are not used; move them into plugins, or set loadOnlyInlinedPlugins to true',
    );
    const alone = { ...good, loadOnlyInlinedPlugins: true, disableCheck: true, disableGC: false };
    expect(fault(JSON.stringify(alone), true)).toBe('accepted');
  });

  it('has up to 16 plugins', () => {
    const plugins = (count: number) => Array.from({ length: count }, () => ({ type: 'tuning' }));
    expect(fault(JSON.stringify({ ...good, plugins: plugins(16) }))).toBe('accepted');
    expect(fault(JSON.stringify({ ...good, plugins: plugins(17) }))).toContain('1 to 16 plugins');
  });

  it.each([
    ['{', 'is not JSON'],
    ['[]', 'is not a configuration list of CNI'],
    [JSON.stringify({ ...good, name: 'wan' }), 'name takes "lan", the name of the file'],
    [JSON.stringify({ ...good, cniVersion: '0.3.1' }), 'cniVersion takes one of 0.4.0, 1.0.0, 1.1.0'],
    [JSON.stringify({ ...good, cniVersions: '1.0.0' }), 'cniVersions takes a list of versions'],
    [JSON.stringify({ ...good, cniVersions: [1] }), 'cniVersions takes a list of versions'],
    [
      JSON.stringify({ ...good, cniVersion: '0.3.1', cniVersions: ['2.0.0'] }),
      'cniVersions takes at least one of 0.4.0, 1.0.0, 1.1.0',
    ],
    [JSON.stringify({ ...good, cniVersoins: [] }), 'cniVersoins is not a key of a configuration list'],
    [JSON.stringify({ ...good, disableCheck: 'true' }), 'disableCheck takes true or false'],
    [JSON.stringify({ ...good, disableGC: 1 }), 'disableGC takes true or false'],
    [JSON.stringify({ ...good, loadOnlyInlinedPlugins: null }), 'loadOnlyInlinedPlugins takes true or false'],
    ...['runtimeConfig', 'prevResult', 'cni.dev/attachments'].map((key) => [
      JSON.stringify({ ...good, plugins: [{ type: 'ptp', [key]: {} }] }),
      `plugins/0/${key} is set by wherry; remove it`,
    ]),
    [JSON.stringify({ ...good, plugins: undefined }), 'plugins takes a list of 1 to 16 plugins'],
    [JSON.stringify({ ...good, plugins: [] }), 'plugins takes a list of 1 to 16 plugins'],
    ...['../sh', '-x', '.', '', 'x'.repeat(65), 7].map((type) => [
      JSON.stringify({ ...good, plugins: [{ type }] }),
      'plugins/0/type takes the name of a plugin such as "macvlan"',
    ]),
  ])('is refused with file and key: %s', (text, why) => {
    expect(fault(text)).toBe(`/etc/wherry/networks/lan.conflist: ${why}`);
  });
});
