import { describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import { decodeBundle, encodeBundle, type EnrolmentPath } from '../../../src/wire/enrolment/index.ts';

const config = { path: '/etc/wherry/wherry.toml', content: new Uint8Array([1]) };
const bundle = (files: readonly unknown[]) => encodeCbor({ format: 1, fleet: 'a', device: 'b', files });

describe('an enrolment bundle', () => {
  it('is read as it was written', () => {
    const files = new Map<EnrolmentPath, Uint8Array>([
      ['/etc/wherry/wherry.toml', Buffer.from('x')],
      ['/etc/wherry/device.key', Buffer.from('y')],
    ]);
    const read = decodeBundle(encodeBundle({ fleet: 'harbour', device: 'crane-7', files }));
    expect(read).toMatchObject({ fleet: 'harbour', device: 'crane-7' });
    expect([...read.files.keys()]).toEqual([...files.keys()]);
  });

  it.each([
    ['names a file of the system', bundle([config, { ...config, path: '/etc/shadow' }])],
    ['leaves its directory', bundle([config, { ...config, path: '/etc/wherry/../shadow' }])],
    ['brings a unit', bundle([config, { ...config, path: '/etc/systemd/system/wherry-key.service' }])],
    ['names a file twice', bundle([config, config])],
    ['has no configuration', bundle([{ ...config, path: '/etc/wherry/device.key' }])],
    ['is of a later format', encodeCbor({ format: 2, fleet: 'a', device: 'b', files: [config] })],
    ['is not CBOR', Buffer.from('fleet = "a"')],
  ])('[C179] that %s is refused', (_what, bytes) => {
    expect(() => decodeBundle(bytes)).toThrow(expect.objectContaining({ code: 'input-invalid' }) as Error);
  });
});
