"""A template compiled at import; its output is parsed."""

import jinja2
from bs4 import BeautifulSoup

template = jinja2.Environment(autoescape=True).from_string("<ul>{% for row in rows %}<li>{{ row }}</li>{% endfor %}</ul>")


def handler(body):
    soup = BeautifulSoup(template.render(rows=["<a>", str(body)]), "html.parser")
    assert [item.text for item in soup.find_all("li")] == ["<a>", str(body)]
