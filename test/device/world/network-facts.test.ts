import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AcIdentifier } from '../../../src/image/appc/index.ts';
import { describeNetworks } from '../../../src/device/local-api/networks.ts';
import { choosePodNetwork } from '../../../src/device/network/index.ts';
import { nodeDisk } from '../../../src/device/store/index.ts';
import { readNetworkFacts } from '../../../src/device/world/index.ts';

let networks: string;
beforeEach(() => {
  networks = mkdtempSync(join(tmpdir(), 'wherry-networks-'));
});
afterEach(() => rmSync(networks, { recursive: true }));

it('[C370] a list that cannot be read is refused where a pod names it, and nowhere else', async () => {
  const at = (name: string): string => join(networks, name);
  const list = JSON.stringify({ cniVersion: '1.0.0', name: 'lan', plugins: [{ type: 'loopback' }] });
  writeFileSync(at('shared'), list);
  symlinkSync('shared', at('lan.conflist'));
  mkdirSync(at('directory.conflist'));
  execFileSync('mkfifo', [at('pipe.conflist')]);
  symlinkSync('nowhere', at('link.conflist'));
  writeFileSync(at('large.conflist'), ' '.repeat(70_000));
  const config = { allowHost: true, whenUnsaid: 'host', subnet: '10.173.0.0/24' };
  const facts = await readNetworkFacts(nodeDisk(), { networks, attachScript: at('none') }, config);
  expect([...facts.lists]).toEqual([['lan', list]]);
  const choose = (name?: string) => {
    const annotations = name === undefined ? [] : [{ name: 'wherry/network' as AcIdentifier, value: name }];
    return choosePodNetwork('web', { annotations }, facts, false);
  };
  expect(choose().kind).toBe('host');
  for (const [name, why] of [
    ['directory', 'cannot be read: it is a directory'],
    ['pipe', 'cannot be read: it is a pipe, a socket or a device'],
    ['link', 'cannot be read: no such file or directory'],
    ['large', 'is larger than 65536 bytes'],
  ] as const)
    expect(() => choose(name)).toThrow(`${at(`${name}.conflist`)} ${why}`);
  const names = describeNetworks(facts, [], () => []).map(({ name }) => name);
  expect(names).toEqual(['host', 'none', 'bridge', 'directory', 'lan', 'large', 'link', 'pipe']);
});
