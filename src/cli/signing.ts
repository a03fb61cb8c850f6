import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { isRefusal, Refusal, refusalAt, unreadableFile } from '../core/refusal/index.ts';
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
  if (signature !== undefined) return () => readSignature(signature);
  if (signingKey === undefined) return undefined;
  return async (payload, atSeconds) => {
    const { signDetached } = await import('../wire/trust/sign.ts');
    const key = await readInput(signingKey, 'the signing key');
    return await signDetached(payload, key, atSeconds).catch((error: unknown) => {
      throw refusalAt(`the signing key ${signingKey}`, error);
    });
  };
}

/** @throws Refusal `input-invalid` for a file of another kind */
async function readSignature(path: string): Promise<string> {
  const armored = await readInput(path, 'the signature');
  const { requireSignature } = await import('../wire/trust/openpgp.ts');
  await requireSignature(armored).catch((cause: unknown) => {
    if (!isRefusal(cause, 'signature-malformed')) throw cause;
    throw new Refusal('input-invalid', `${path}: ${cause.message}`, { cause });
  });
  return armored;
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
    const { ended, said } = await runGnuPg(args);
    if (ended !== 0)
      throw new Refusal('input-invalid', `gpg did not sign with ${fingerprint}: ${said}${adviceFor(said)}`);
    return await readFile(output, 'utf8');
  });
}

/**
 * Runs gpg with the standard input of this program: without GPG_TTY, gpg tells pinentry the
 * terminal that is there.
 */
async function runGnuPg(
  args: readonly string[],
): Promise<{ readonly ended: unknown; readonly said: string }> {
  const gpg = spawn('gpg', args, { stdio: ['inherit', 'ignore', 'pipe'] });
  const stderr = text(gpg.stderr);
  const closed: Promise<readonly unknown[]> = once(gpg, 'close');
  const [ended] = await closed.catch((cause: unknown) => {
    if ((cause as { code?: unknown }).code !== 'ENOENT') throw cause;
    throw new Refusal('not-found', 'there is no program gpg; install GnuPG', { cause });
  });
  return { ended, said: (await stderr).trim().split('\n').at(-1) ?? '' };
}

/** GnuPG's own words for the two usual reasons do not say what to do. */
function adviceFor(said: string): string {
  if (said.endsWith('No secret key')) return '; "gpg --list-secret-keys" lists the keys that it has';
  if (/Inappropriate ioctl|No pinentry|cannot open '\/dev\/tty'/.test(said))
    return '; the key has a passphrase: run this at a terminal, or unlock the key in the agent of gpg first';
  return '';
}
