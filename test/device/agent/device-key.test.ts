import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encryptionCapability } from '../../../src/device/agent/device-key.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wherry-key-'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('the device key in a report [C153]', () => {
  const places = () => ({ deviceKey: join(root, 'key.cred'), devicePublicKey: join(root, 'key.asc') });
  const made = (by: string): void => {
    writeFileSync(places().deviceKey, 'sealed');
    writeFileSync(
      places().devicePublicKey,
      `-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: wherry ${'ab'.repeat(20)} sealed by ${by}\n\nxx\n`,
    );
  };

  it('is absent if the device has no key', () => {
    expect(encryptionCapability(places())).toEqual([]);
  });

  it('is not available when a half of it is missing or damaged [C313]', () => {
    for (const half of ['deviceKey', 'devicePublicKey'] as const) {
      const path = places()[half];
      for (const put of [() => writeFileSync(path, ''), () => undefined, () => mkdirSync(path)]) {
        made('host');
        rmSync(path);
        put();
        expect(encryptionCapability(places())).toEqual([
          { name: 'encryption', available: false, detail: expect.stringContaining(`${path} is`) as string },
        ]);
        rmSync(path, { recursive: true, force: true });
      }
    }
  });

  it('is its fingerprint and what sealed it', () => {
    made('tpm2');
    expect(encryptionCapability(places())).toEqual([
      { name: 'encryption', available: true, detail: `key ${'ab'.repeat(20)}, sealed by the TPM` },
    ]);
    made('host');
    expect(encryptionCapability(places())[0]?.detail).toMatch(
      /the key of the host, .* same disk: there is no TPM/,
    );
  });
});
