/**
 * Sealing values of secrets in `wherry-seal.service`, which runs systemd-creds. The values come
 * from the examining unit and are never read by wherryd.
 */
export { sealInUnit } from './seal-unit.ts';
