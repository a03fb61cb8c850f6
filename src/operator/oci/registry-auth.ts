import { Refusal } from '../../core/refusal/index.ts';
import { challengesOf } from './challenges.ts';
import { askOnce, isSuccess, wholeBody } from './http-body.ts';
import type { RegistryOptions } from './registry-options.ts';
import type { RegistryReference } from './registry-reference.ts';

const maxTokenBytes = 64 * 1024;

/**
 * Answers a challenge: Bearer with a token of the server that it names, Basic with the credentials.
 * Of several, it answers one that it supports, with precedence for Bearer, as registries that offer
 * both expect.
 * @param field `WWW-Authenticate`
 */
export async function authorize(
  field: string,
  shown: string,
  { repository, host }: RegistryReference,
  { credentials, plainHttp, http }: Pick<RegistryOptions, 'credentials' | 'plainHttp' | 'http'>,
): Promise<string> {
  const basic =
    credentials && `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`;
  const challenges = challengesOf(field);
  const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'));
  if (bearer === undefined && challenges.some(({ scheme }) => scheme === 'basic')) {
    if (basic === undefined)
      throw new Refusal(
        'download-failed',
        `${shown}: ${host} requires a user and a password; give them with --credentials`,
      );
    return basic;
  }
  if (!challenges.some(({ scheme }) => scheme === 'bearer')) {
    const schemes = challenges.map(({ scheme }) => scheme).join(', ');
    throw new Refusal(
      'download-failed',
      `${shown}: ${host} requests an authentication that is not supported (${schemes || 'none named'})`,
    );
  }
  const parameters = bearer?.parameters ?? new Map<string, string>();
  const realm = parameters.get('realm') ?? '';
  if (!URL.canParse(realm)) throw new Refusal('download-failed', `${shown}: ${host} names no token server`);
  const url = new URL(realm);
  const isSafe = url.protocol === 'https:' || (plainHttp && url.protocol === 'http:');
  if (!isSafe)
    throw new Refusal('download-failed', `${shown}: its token server is not used over ${url.protocol}`);
  const service = parameters.get('service');
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', `repository:${repository}:pull`);
  const proof = basic === undefined ? {} : { authorization: basic };
  const answer = await askOnce(http, url, proof, `${shown}: its token server`);
  // A redirect is refused, too: it could bypass the check of the address.
  if (!isSuccess(answer)) {
    answer.body.destroy();
    throw new Refusal('download-failed', `${shown}: its token server ${url.host} answered ${answer.status}`);
  }
  const bytes = await wholeBody(answer, maxTokenBytes, `${shown}, token`);
  let token: unknown;
  try {
    const fields = JSON.parse(bytes.toString()) as Record<string, unknown>;
    token = fields['token'] ?? fields['access_token'];
  } catch {
    token = undefined;
  }
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new Refusal('download-failed', `${shown}: its token server ${url.host} returned no token`);
  }
  return `Bearer ${token}`;
}
