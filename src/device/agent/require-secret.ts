import { stat } from 'node:fs/promises';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * Checks that a file of secrets, if there is one, is owned by and readable to this user alone, as
 * ssh does with keys.
 * @throws Refusal `config-invalid` with the command that mends it
 */
export async function requireSecret(file: string): Promise<void> {
  const found = await stat(file).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  // systemd would wait for the writer of a pipe.
  if (!found.isFile()) throw new Refusal('config-invalid', `${file} is not a regular file`);
  if (found.uid !== process.getuid?.()) {
    throw new Refusal('config-invalid', `${file} belongs to another user; "chown root:root ${file}"`);
  }
  if ((found.mode & 0o077) !== 0) {
    throw new Refusal(
      'config-invalid',
      `others may read ${file}, so nothing is downloaded; "chmod 600 ${file}", and change what is in it if others may have read it`,
    );
  }
}
