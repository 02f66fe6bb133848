from lxml import etree

TREE = etree.fromstring("<a>" + "<b>1</b>" * 1000 + "</a>")


def handler(body):
    assert TREE.xpath("sum(b)") == 1000.0
