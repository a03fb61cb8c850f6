import { createHash } from 'node:crypto';
import { Refusal } from '../../core/refusal/index.ts';

/** A secret that an app uses: a file `/run/secrets/<name>` that belongs to the app's user. */
export interface SecretUse {
  readonly name: string;
  /** Permission bits in octal, such as `0400`. */
  readonly mode: string;
}

/** A secret with the digest of its value from the desired state. */
export interface AppSecret extends SecretUse {
  readonly digest: string;
}

/** The directory of the secrets in an app. */
export const secretsTarget = '/run/secrets';

/**
 * The annotation `wherry/secrets`: names separated by spaces, each with `:MODE` if the default of
 * 0400 does not fit. Undefined for an invalid value.
 */
export function parseSecretUses(value: string): readonly SecretUse[] | undefined {
  const uses: SecretUse[] = [];
  for (const word of value.split(' ')) {
    const [, name, mode = '0400'] = /^([a-z0-9]+(?:-[a-z0-9]+)*)(?::(0[4-7][0-7]{2}))?$/.exec(word) ?? [];
    if (name === undefined || name.length > 64 || uses.some((use) => use.name === name)) return undefined;
    uses.push({ name, mode });
  }
  return uses.length > 32 ? undefined : uses;
}

/**
 * The secrets of an app with their digests.
 *
 * @param digests name → digest, of the desired state
 * @throws Refusal `pod-secret-unknown`
 */
export function resolveSecrets(
  app: string,
  uses: readonly SecretUse[],
  digests: ReadonlyMap<string, string>,
): readonly AppSecret[] {
  return uses.map((use) => {
    const digest = digests.get(use.name);
    if (digest !== undefined) return { ...use, digest };
    throw new Refusal(
      'pod-secret-unknown',
      `app ${app} uses the secret ${use.name}, which the version does not have; deploy it with --secret ${use.name}=@FILE`,
    );
  });
}

/**
 * A digest of the secrets that an app uses. It is part of the name of the app's unit: a new value
 * gives a new unit, so the one rename that switches to the next set also switches values, and no
 * other app is restarted.
 *
 * @param after units with a revision of apps that it starts after
 */
export function secretsRevision(secrets: readonly AppSecret[], after: readonly string[] = []): string {
  const words = secrets.map(({ name, mode, digest }) => `${name}:${mode}:${digest}`).sort();
  return createHash('sha256')
    .update([...words, ...after].join(' '))
    .digest('hex')
    .slice(0, 8);
}
