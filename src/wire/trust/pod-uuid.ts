import { createHash } from 'node:crypto';

/**
 * The UUID of a pod: derived from its name and the exact bytes of its manifest, so that an
 * unchanged pod keeps its UUID across deployments and keeps running, and a desired state shows
 * which pods are unchanged. Version 8 (RFC 9562 §5.8): the first 122 bits of a SHA-256.
 */
export function podUuid(name: string, manifest: Uint8Array): string {
  const digest = createHash('sha256').update(`wherry pod\0${name}\0`).update(manifest).digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = digest.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
}
