import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { generateDeviceKey } from '../../../../src/wire/trust/sign.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-refused-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  expect(await run('fleet', 'init', 'harbour', '--broker', broker.url)).toMatchObject({ status: 0 });
  mkdirSync(at('root/bin'), { recursive: true });
  writeFileSync(at('root/bin/web'), '#!/bin/sh\n');
  chmodSync(at('root/bin/web'), 0o755);
  const made = ['--name', 'example.com/web', '--exec', '/bin/web', '-o', at('web.aci'), '--sign'];
  expect(await run('image', 'build', at('root'), ...made)).toMatchObject({ status: 0 });
  writeFileSync(at('secret'), 'x');
});
afterAll(async () => {
  await broker.close();
  rmSync(directory, { recursive: true });
});

const web = (): string[] => ['--run', `web=${at('web.aci')}`];
const output = (): string[] => ['--sign-only', '-o', at('one.cbor')];

describe('[C300] a command that is refused', () => {
  it.each([
    ['two devices for one file', () => ['crane-1', 'crane-2', ...output()], 'sign for one device at a time'],
    ['two signers', () => ['crane-1', '--gpg', 'a', '--signing-key', 'b'], 'give one of --signing-key'],
    ['no signing key', () => ['crane-1', '--signing-key', at('none')], 'the signing key'],
    ['no signing key for a file', () => ['crane-1', '--signing-key', at('none'), ...output()], 'signing key'],
    [
      'a file that is no key',
      () => ['crane-1', '--signing-key', at('secret')],
      'secret: it is not an armored',
    ],
    [
      'a file that cannot be made',
      () => ['crane-1', '--sign-only', '-o', at('none/x')],
      'none/x: no such file',
    ],
    [
      'a secret for a device without a key',
      () => ['crane-1', '--secret', `token=@${at('secret')}`],
      'the key of crane-1 is not known',
    ],
  ])('for %s offers, stores and publishes nothing', async (_what, args, words) => {
    const refused = await run('deploy', ...args(), ...web());
    expect(refused).toMatchObject({ status: expect.any(Number) as number, out: '' });
    expect(refused.err).toContain(words);
    expect(readdirSync(at('fleet/images'))).toEqual([]);
    expect(readdirSync(at('fleet/devices'))).toEqual([]);
    expect(existsSync(at('one.cbor'))).toBe(false);
  });

  it('for its second device publishes nothing for its first', async () => {
    writeFileSync(at('crane-1.asc'), (await generateDeviceKey('crane-1')).publicKey);
    expect(await run('fleet', 'key', 'add', 'crane-1', at('crane-1.asc'))).toMatchObject({ status: 0 });
    const refused = await run('deploy', 'crane-1', 'crane-2', '--secret', `token=@${at('secret')}`, ...web());
    expect(refused.err).toContain('the key of crane-2 is not known');
    expect(readdirSync(at('fleet/devices'))).toEqual([]);
  });

  it('for a damaged deploy key names its file', async () => {
    const key = at('fleet/keys/deploy.key.asc');
    const whole = readFileSync(key);
    writeFileSync(key, 'x');
    const refused = await run('deploy', 'crane-1', ...web());
    writeFileSync(key, whole);
    expect(refused).toMatchObject({ status: 64 });
    expect(refused.err).toContain(`${key}: it is not an armored OpenPGP private key`);
    expect(readdirSync(at('fleet/devices'))).toEqual([]);
  });

  it('for its options reads no image', async () => {
    for (const wrong of [
      ['crane-1', 'crane-2', ...output()],
      ['crane-1', '--gpg', 'a', '--signing-key', 'b'],
    ]) {
      const refused = await run('deploy', ...wrong, '--run', `web=${at('none.aci')}`);
      expect(refused).toMatchObject({ status: 64, out: '' });
      expect(refused.err).toContain('(usage)');
    }
  });
});

it('deploy names every device that did not finish, the first last', async () => {
  const late = await run('deploy', 'crane-8', 'crane-9', '--stop-all', '--timeout', '1');
  expect(late.status).toBe(75);
  expect(late.err).toMatch(/\nwithout an outcome as well: crane-9\nwherry: crane-8 did not finish/);
});
