import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Refusal, refusalAt, unreadableFile } from '../core/refusal/index.ts';
import { withScratch } from '../operator/build/index.ts';
import type { Sign } from '../operator/fleet/index.ts';
import type { SigningFlags } from './flags.ts';

/**
 * The signer that the options select: a private key in a file, GnuPG with its smartcards and
 * passphrases, or a signature that was made elsewhere. Undefined without any of them.
 *
 * @throws Refusal `usage` when they select more than one
 */
export function signerOf(flags: SigningFlags): Sign | undefined {
  const { signingKey, gpg, signature } = flags;
  const given = [signingKey, gpg, signature].filter((value) => value !== undefined);
  if (given.length > 1)
    throw new Refusal('usage', 'give one of --signing-key, --gpg and --signature: each makes one signature');
  if (gpg !== undefined) return (payload) => signWithGnuPg(payload, gpg);
  if (signature !== undefined) return () => readInput(signature, 'the signature');
  if (signingKey === undefined) return undefined;
  return async (payload, atSeconds) => {
    const { signDetached } = await import('../wire/trust/sign.ts');
    const key = await readInput(signingKey, 'the signing key');
    return await signDetached(payload, key, atSeconds).catch((error: unknown) => {
      throw refusalAt(`the signing key ${signingKey}`, error);
    });
  };
}

async function readInput(path: string, what: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`${what} ${path}`, cause);
  });
}

/**
 * GnuPG finds the key, prompts for its passphrase if it needs one, and writes an armored detached
 * signature.
 */
async function signWithGnuPg(payload: Uint8Array, fingerprint: string): Promise<string> {
  return await withScratch(join(tmpdir(), 'signature'), async (directory) => {
    const file = join(directory, 'payload');
    await writeFile(file, payload, { mode: 0o600 });
    const output = `${file}.asc`;
    const args = ['--armor', '--detach-sign', '--local-user', fingerprint, '--output', output, file];
    await promisify(execFile)('gpg', args).catch((cause: unknown) => {
      const { code, stderr } = cause as { code?: unknown; stderr?: string };
      if (code === 'ENOENT')
        throw new Refusal('not-found', 'there is no program gpg; install GnuPG', { cause });
      const said = (stderr ?? '').trim().split('\n').at(-1) ?? '';
      throw new Refusal('input-invalid', `gpg did not sign with ${fingerprint}: ${said}`, { cause });
    });
    return await readFile(output, 'utf8');
  });
}
