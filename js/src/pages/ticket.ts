/**
 * Return the address of a launch page without its ticket. A ticket starts one launch without asking,
 * and must not be in addresses that are stored or shared.
 */
export function withoutTicket(href: string): string {
  return href.replace(/([?&])ticket=[^&#]*(&?)/, (_, before: string, after: string) =>
    after ? before : "",
  );
}
