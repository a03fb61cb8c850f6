import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { readArchive } from '../../../image/aci/index.ts';
import { BLOCK, defaultArchiveLimits, encodeHeaders, impliedDirectory } from '../../../image/tar/index.ts';
import { signatureVerifier } from '../../../wire/trust/openpgp.ts';

/** Its private key was not kept. */
const sample = {
  text: 'sample\n',
  signedAtSeconds: 1_700_000_001,
  key: `-----BEGIN PGP PUBLIC KEY BLOCK-----

xjMEZVPxABYJKwYBBAHaRw8BAQdAxl81p7Adz6/Cs2Nil/l/B37FaI2aygAe
wumtq3828cTNBnNhbXBsZcLAEwQTFgoAhQWCZVPxAAMLCQcJEM9QWf7afS9n
RRQAAAAAABwAIHNhbHRAbm90YXRpb25zLm9wZW5wZ3Bqcy5vcme/NRudXQwD
AZF2Eh0VSRj7+kZg5tEaC8WhN45xo6rniwUVCggODAQWAAIBAhkBApsDAh4B
FiEENcVY/PeU/t0lfwGyz1BZ/tp9L2cAABUnAP930Vw+PO6wyOVmeFJOGyaD
SA28cYADwMyRKa/rcCyZdgD+Kgm6KrlAChQb5hWnZfZobYuJs9n9iIziPJE4
wv1qXg8=
=tDRA
-----END PGP PUBLIC KEY BLOCK-----`,
  signature: `-----BEGIN PGP SIGNATURE-----

wqsEABYIAF0FgmVT8QEJEM9QWf7afS9nNRQAAAAAABwAEHNhbHRAbm90YXRp
b25zLm9wZW5wZ3Bqcy5vcmf7RZlVqS8y21etFQG5zf4ZFiEENcVY/PeU/t0l
fwGyz1BZ/tp9L2cAADmdAP95RQfRAj0x5c2oAkUSlqaeKD0h87tqJzpjg5Fo
WoSOsgEA4qV9eNdXUlynPD0YSAqdHEw27IoKI7nGD/KVkxvu7wQ=
=yLZf
-----END PGP SIGNATURE-----`,
};

/**
 * Verifies a sample signature and reads a sample archive. The startup snapshot is taken afterwards
 * and contains the functions that ran in compiled form. Nothing of the samples is trusted later,
 * and no handle stays open.
 */
export async function warmUp(): Promise<void> {
  const time = { nowSeconds: sample.signedAtSeconds, clockTrusted: true };
  const verifier = await signatureVerifier(sample.signature, [sample.key], time);
  verifier.update(Buffer.from(sample.text));
  await verifier.finish();
  const canonicalTar = new Writable({ write: (_bytes, _encoding, done) => done() });
  await readArchive(oneChunk(gzipSync(sampleArchive())), { limits: defaultArchiveLimits, canonicalTar });
}

function sampleArchive(): Buffer {
  const labels = [{ name: 'version', value: '1.0.0' }];
  const app = { exec: ['/bin/app'], user: '0', group: '0' };
  const manifest = Buffer.from(
    JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/sample', labels, app }),
  );
  const directory = impliedDirectory('rootfs');
  const file = { ...directory, type: 'file', mode: 0o644 } as const;
  return Buffer.concat([
    encodeHeaders({ ...file, path: 'manifest', sizeBytes: manifest.length }),
    manifest,
    Buffer.alloc(BLOCK - manifest.length),
    encodeHeaders(directory),
    encodeHeaders({ ...file, path: 'rootfs/sample' }),
    Buffer.alloc(2 * BLOCK),
  ]);
}

async function* oneChunk(bytes: Buffer): AsyncGenerator<Buffer, void> {
  yield await Promise.resolve(bytes);
}
