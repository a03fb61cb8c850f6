import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRegular } from '../../../src/core/files/index.ts';
import { Refusal } from '../../../src/core/refusal/index.ts';
import { readBrokerFiles } from '../../../src/device/agent/broker-files.ts';
import { encryptionCapability } from '../../../src/device/agent/device-key.ts';
import { requireSecret } from '../../../src/device/agent/require-secret.ts';
import { rootFiles } from '../../../src/device/agent/root-files.ts';

let root: string;
const at = (name: string): string => join(root, name);
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wherry-regular-'));
  execFileSync('mkfifo', [at('pipe')]);
  mkdirSync(at('directory'));
  symlinkSync('/dev/zero', at('zero'));
  writeFileSync(at('file'), 'text\n');
  symlinkSync('file', at('link'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('a file that is read whole', () => {
  it('is a regular file or a link to one; nothing blocks on a pipe', () => {
    expect(readRegular(at('file')).toString()).toBe('text\n');
    expect(readRegular(at('link')).toString()).toBe('text\n');
    expect(() => readRegular(at('pipe'))).toThrow(expect.objectContaining({ code: 'ENXIO' }) as Error);
    expect(() => readRegular(at('zero'))).toThrow(expect.objectContaining({ code: 'ENXIO' }) as Error);
    expect(() => readRegular(at('directory'))).toThrow(expect.objectContaining({ code: 'EISDIR' }) as Error);
    expect(() => readRegular(at('none'))).toThrow(expect.objectContaining({ code: 'ENOENT' }) as Error);
  });

  it('[C370] of the broker is refused with the reason', () => {
    for (const [name, why] of [
      ['pipe', 'it is a pipe, a socket or a device'],
      ['zero', 'it is a pipe, a socket or a device'],
      ['directory', 'it is a directory; name a file'],
      ['none', 'no such file or directory'],
    ] as const) {
      for (const field of ['ca', 'cert', 'key', 'passwordFile'] as const)
        expect(() => readBrokerFiles({ [field]: at(name) }), `${field} ${name}`).toThrow(
          new Refusal('config-invalid', `wherry.toml: broker: ${at(name)} cannot be read: ${why}`),
        );
    }
    expect(readBrokerFiles({ passwordFile: at('link') })).toEqual({ password: 'text' });
  });

  it('[C370] of the root of trust, the credentials and the device key is refused as well', async () => {
    mkdirSync(at('trust'));
    execFileSync('mkfifo', [at('trust/root.cbor')]);
    expect(() => rootFiles({ local: at('trust') })).toThrow(
      new Refusal('config-invalid', `the root ${at('trust/root.cbor')}: it is a pipe, a socket or a device`),
    );
    await expect(requireSecret(at('pipe'))).rejects.toThrow(
      new Refusal('config-invalid', `${at('pipe')} is not a regular file`),
    );
    expect(encryptionCapability({ deviceKey: at('file'), devicePublicKey: at('pipe') })).toMatchObject([
      { name: 'encryption', available: false },
    ]);
  });
});
