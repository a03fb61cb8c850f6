/**
 * `wherryd` itself: its parts put together. It is entered by its program; others read its
 * configuration file as it does.
 */
export { parseConfig } from './config.ts';
