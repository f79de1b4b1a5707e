// Fetch the page again every second and put its rows in place of the old ones.
setInterval(async () => {
	try {
		const text = await (await fetch("/")).text();
		const rows = new DOMParser().parseFromString(text, "text/html").getElementById("cores");
		if (rows) document.getElementById("cores").replaceWith(rows);
	} catch (error) { /* the server is away: keep the last figures */ }
}, 1000);
