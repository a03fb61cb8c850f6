import { Refusal } from '../../core/refusal/index.ts';
import { isDigest } from './documents.ts';

/** A reference to an image on a registry: `host[:port]/repository[:tag][@digest]`. */
export interface RegistryReference {
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest?: string;
}

/**
 * Reads `docker://` references as Docker does: no host means Docker's own registry, no tag means
 * `latest`.
 * @throws Refusal `usage`
 */
export function parseRegistryReference(text: string): RegistryReference {
  const wrong = () =>
    new Refusal(
      'usage',
      `${JSON.stringify(text)} is not a reference to an image such as docker://registry.example/app:1.0`,
    );
  const match =
    /^docker:\/\/(?:([a-zA-Z0-9.-]+(?::\d{1,5})?)\/)?([^:@]+?)(?::([\w][\w.-]{0,127}))?(?:@(.+))?$/.exec(
      text,
    );
  if (match === null) throw wrong();
  const [, first, rest = '', tag = 'latest', digest] = match;
  // Docker's rule: the first part is a host only if it could not be the name of an organisation.
  const isHost = first !== undefined && (/[.:]/.test(first) || first === 'localhost');
  const path = first === undefined || isHost ? rest : `${first}/${rest}`;
  const host = isHost ? first : 'registry-1.docker.io';
  const repository = !isHost && !path.includes('/') ? `library/${path}` : path;
  if (!/^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/.test(repository))
    throw wrong();
  if (digest !== undefined && !isDigest(digest)) throw wrong();
  return { host, repository, tag, ...(digest === undefined ? {} : { digest }) };
}

/** The reference for messages. */
export function formatReference({ host, repository, tag, digest }: RegistryReference): string {
  return `docker://${host}/${repository}${digest === undefined ? `:${tag}` : `@${digest.slice(0, 19)}`}`;
}
