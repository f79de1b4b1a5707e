/*
 * What the C library's resolver reads: name servers from `dns=`, from DHCP and from router
 * advertisements (RFC 8106), as /etc/resolv.conf; and /etc/hosts.
 */
#include "net/config.h"

#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "net/interface6.h"
#include "net/lwip_address.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/prot/dhcp.h"

#include <string.h>

#define OPTION_NAME_SERVERS 25
#define RA_LEN 16

static READ_MOSTLY struct address chosen[NAME_SERVERS_MAX]; /* dns= */
static READ_MOSTLY unsigned nchosen;

static CORE_LOCAL struct address advertised[NAME_SERVERS_MAX];

static const char *parse_dns(const char *text)
{
	nchosen = 0;
	do {
		if (nchosen == NAME_SERVERS_MAX)
			return "names more than three servers";
		if (!address_parse(&text, &chosen[nchosen]) || address_is_any(&chosen[nchosen]))
			return "must be ADDRESS[,ADDRESS...]";
		nchosen++;
	} while (*text++ == ',');
	return text[-1] ? "has something behind it" : NULL;
}
BOOT_OPTION(dns, "dns=ADDRESS[,ADDRESS...]: name servers, in place of those of the network",
	    parse_dns);

static void add_server(struct address servers[NAME_SERVERS_MAX], const struct address *server)
{
	if (address_is_any(server))
		return;
	for (unsigned i = 0; i < NAME_SERVERS_MAX; i++) {
		if (address_equal(&servers[i], server))
			return;
		if (address_is_any6(&servers[i])) {
			servers[i] = *server;
			return;
		}
	}
}

void config_name_servers_changed(void)
{
	struct address servers[NAME_SERVERS_MAX];

	memset(servers, 0, sizeof(servers));
	for (unsigned i = 0; i < nchosen; i++)
		add_server(servers, &chosen[i]);
	for (uint8_t i = 0; i < NAME_SERVERS_MAX && !nchosen; i++) {
		struct address server = address_of_lwip(dns_getserver(i));

		add_server(servers, &server);
	}
	for (unsigned i = 0; i < NAME_SERVERS_MAX && !nchosen; i++)
		add_server(servers, &advertised[i]);
	memcpy(network_config.name_servers, servers, sizeof(servers));
}

/* Form and lengths are checked (net/frame6.c). A lifetime of 0 takes a server back; others are not
 * counted down: a router that is gone leaves a server that does not answer. */
void config_router_advertisement(const uint8_t *icmp, uint32_t len)
{
	for (uint32_t at = RA_LEN; at < len; at += icmp[at + 1] * 8u) {
		const uint8_t *option = icmp + at;
		unsigned count = (option[1] - 1u) / 2;
		bool gone = load32(option + 4) == 0;

		if (option[0] != OPTION_NAME_SERVERS)
			continue;
		for (unsigned i = 0; i < count; i++) {
			struct address server;

			memcpy(&server, option + 8 + 16 * i, 16);
			if (address_is_multicast(&server) || address_is_loopback(&server))
				continue;
			for (unsigned j = 0; j < NAME_SERVERS_MAX && gone; j++)
				if (address_equal(&advertised[j], &server))
					memset(&advertised[j], 0, sizeof(server));
			if (!gone)
				add_server(advertised, &server);
		}
	}
	config_name_servers_changed();
}

/* LWIP_HOOK_DHCP_PARSE_OPTION: what lwIP itself does not know. */
void dhcp_option_received(uint8_t option, uint8_t len, const struct pbuf *pbuf, uint16_t offset)
{
	char domain[DOMAIN_MAX] = "";

	if (option != 15 || len == 0 || len >= DOMAIN_MAX)
		return;
	pbuf_copy_partial(pbuf, domain, len, offset);
	/* It becomes a line of a file: nothing but what a name may have. */
	for (unsigned i = 0; i < len && domain[i]; i++) {
		char c = domain[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '.' || c == '_'))
			return;
	}
	memcpy(network_config.domain, domain, DOMAIN_MAX);
}

unsigned network_resolv_conf(char text[RESOLV_CONF_MAX])
{
	char server[ADDRESS_TEXT_MAX];
	unsigned len = 0, count = 0;

	for (unsigned i = 0; i < NAME_SERVERS_MAX; i++) {
		if (address_is_any(&network_config.name_servers[i]))
			continue;
		address_print(&network_config.name_servers[i], server);
		len += (unsigned)ksnprintf(
		    text + len, RESOLV_CONF_MAX - len, "nameserver %s%s\n", server,
		    address_is_link_local(&network_config.name_servers[i]) ? "%2" : "");
		count++;
	}
	if (network_config.domain[0])
		len += (unsigned)ksnprintf(text + len, RESOLV_CONF_MAX - len, "search %s\n",
					   network_config.domain);
	/* The resolver then asks this machine itself; it shall not wait for long. */
	if (!count)
		len += (unsigned)ksnprintf(text + len, RESOLV_CONF_MAX - len,
					   "options timeout:1 attempts:1\n");
	return len;
}

unsigned network_hosts(char text[HOSTS_MAX], const char *name)
{
	unsigned len = (unsigned)ksnprintf(text, HOSTS_MAX,
					   "127.0.0.1\tlocalhost\n"
					   "::1\tlocalhost ip6-localhost ip6-loopback\n");
	struct address own = address_of_ip4(network_config.address);
	char address[ADDRESS_TEXT_MAX];
	bool named = false;

	for (int i = -1; i < NETWORK_ADDRESSES_MAX; i++) {
		const struct network_address6 *ip6 = &network_config.addresses6[max(i, 0)];

		if (i < 0 ? network_config.address == 0
			  : !ip6->valid || address_is_link_local(&ip6->address))
			continue;
		address_print(i < 0 ? &own : &ip6->address, address);
		len += (unsigned)ksnprintf(text + len, HOSTS_MAX - len, "%s\t%s\n", address, name);
		named = true;
	}
	if (!named)
		len += (unsigned)ksnprintf(text + len, HOSTS_MAX - len, "127.0.1.1\t%s\n", name);
	return len;
}
