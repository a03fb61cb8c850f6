import { type AccountFacts, type ImageManifest, resolveAccount } from '../../image/appc/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';

/**
 * A note about an image whose app cannot start, because its user or group is not in the image. A
 * note and no refusal: a pod may specify another user.
 *
 * Undefined where this cannot be known, since the image has dependencies.
 */
export function accountNote(
  { app, dependencies }: Pick<ImageManifest, 'app' | 'dependencies'>,
  accounts: AccountFacts,
): string | undefined {
  if (app === undefined || dependencies.length > 0) return undefined;
  try {
    resolveAccount('its', app, accounts);
  } catch (error) {
    if (isRefusal(error, 'pod-user-unknown')) return error.message;
    throw error;
  }
  return undefined;
}
