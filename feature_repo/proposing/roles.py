"""Names that shops give their columns and kinds of events, in the languages we met.

Compared without case, spaces and signs. A new name is one word here. Next: ``autofeature.py``.
"""

from __future__ import annotations

import re

ROLES: dict[str, str] = {
    "user_id": (
        "userid user customerid customer visitorid visitor uid client clientid memberid "
        "member buyerid buyer shopperid shopper custid custno customerno customernumber "
        "userpseudoid accountid householdkey householdid customeruniqueid reviewerid kunde "
        "kundennr kundennummer kundenid email customeremail 用户id 用户 会员id 客户id "
        "买家id 顾客id 用户编号"
    ),
    "session_id": ("sessionid session usersession visitid gasessionid sid sitzung 会话id 会话"),
    "item_id": (
        "itemid item productid product sku stockcode articleid article articleno artikelnr "
        "artikelnummer artikel asin productcode movieid bookid gtin ean upc lineitemsku "
        "variantid goodsid itemsku prodid pid itemno productno 商品id 商品 商品编号 货号 "
        "物品id"
    ),
    "order_id": (
        "orderid order invoice invoiceno invoicenumber transactionid ordernumber orderno "
        "bestellnr bestellnummer bestellung basketid receiptid receiptno ticketid "
        "rechnungsnr auftragsnr 订单号 订单id 订单编号 交易号"
    ),
    "event_at": (
        "timestamp ts eventtime eventtimestamp eventat createdat invoicedate orderdate "
        "datetime tdat transactiondt transactiondate orderpurchasetimestamp purchasedate "
        "purchasedat bestelldatum datum zeitpunkt ordered orderedat paidat occurredat "
        "visitdate unixtime at when reviewtime unixreviewtime 时间 时间戳 下单时间 行为时间 "
        "日期时间 购买时间 创建时间"
    ),
    "date": "date day eventdate bestelltag 日期 datum tag",
    "time": "time hour eventhour uhrzeit zeit transtime 时刻",
    "kind": (
        "event eventtype eventname behavior behaviour behaviortype behaviourtype action "
        "actiontype type activity 行为 行为类型 动作 事件 事件类型"
    ),
    "quantity": (
        "quantity qty pieces units count menge anzahl stueck stück lineitemquantity num "
        "数量 件数 购买数量"
    ),
    "price": (
        "price unitprice lineitemprice itemprice preis einzelpreis stückpreis stueckpreis "
        "pricepaid pieceprice 单价 价格"
    ),
    "amount": (
        "amount total linetotal salesvalue salesprice totalprice revenue betrag summe "
        "gesamtpreis lineamount 金额 总价 销售额"
    ),
    "currency": "currency currencycode curr waehrung währung 币种 货币",
    "text": (
        "description title productname itemname producttitle lineitemname bezeichnung "
        "artikelname artikelbezeichnung producttext itemtitle name productdescription "
        "prodname 商品名称 商品名 标题 名称 商品标题"
    ),
    "category": (
        "category categorycode categoryid itemcategory productcategory productsubclass "
        "kategorie warengruppe producttype productgroup 类目 类目id 品类 分类 商品类目"
    ),
    "brand": "brand vendor manufacturer marke hersteller 品牌",
    "locale": (
        "country countrycode locale geocountry shippingcountry billingcountry land 国家 地区"
    ),
    "protected": (
        "gender sex age agegroup birthyear birthdate dateofbirth birthday geschlecht alter "
        "geburtsjahr geburtsdatum religion ethnicity race nationality disability 性别 年龄 "
        "出生日期 民族"
    ),
}
"""Role to the names it goes by."""
RELATIVE = ("dayssince", "hourssince", "ordernumber", "orderhour", "orderdow")
"""Names of times that are counted from something else: nobody knows from when."""

KINDS: dict[str, str] = {
    "view": (
        "pv view views pageview detail productview viewitem browse productviewed "
        "viewproduct itempage viewdetail 浏览 查看 1浏览"
    ),
    "click": "click clk clicks clickthrough selectitem 点击",
    "cart": (
        "cart addtocart addcart basket addtobasket tocart atc 加购 加购物车 加入购物车 购物车"
    ),
    "purchase": (
        "buy purchase purchased transaction order bought sale checkoutcompleted orderplaced "
        "paid payment conversion 购买 下单 支付 成交"
    ),
    "return": ("return returned refund refunded cancellation cancelled canceled 退货 退款 取消"),
    "search": "search viewsearchresults searched query 搜索",
    "impression": "impression impressions exposure exposed shown viewitemlist 曝光 展示",
    "": (
        "fav favorite favourite wishlist addtowishlist like collect removefromcart remove "
        "unfav removecart begincheckout addshippinginfo addpaymentinfo sessionstart "
        "firstvisit scroll userengagement pageload login logout 收藏 移出购物车"
    ),
}
"""Kind to the words that shops use for it; those of "" are no behaviour of ours."""


def plain_name(name: str) -> str:
    """Lower case letters and digits of any script."""
    return re.sub(r"[\W_]+", "", name.lower())


def _words(table: dict[str, str]) -> dict[str, str]:
    return {word: role for role, words in table.items() for word in words.split()}


_KIND_OF = _words(KINDS)
_NAMED = {role: tuple(words.split()) for role, words in ROLES.items()}


def kind_of(value: str) -> str | None:
    """The kind that a shop's word means, "" for one to leave out, None for one we don't know."""
    return _KIND_OF.get(plain_name(value))


def likeness(name: str, role: str) -> float:
    """How much a name speaks for a role: 10 if it is one of the role's, less for parts of it."""
    whole = plain_name(name)
    last = plain_name(name.rpartition(".")[2])
    words = _NAMED[role]
    for given, most in ((whole, 10.0), (last, 9.0)):
        if given in words:
            # Earlier words are the more usual ones.
            return most - words.index(given) / 100
    parts = [plain_name(part) for part in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name) if part]
    joined = {"".join(parts[at:]) for at in range(len(parts))} | set(parts)
    near = [word for word in words if len(word) > 2 and word in joined]
    return 4.0 if near else 0.0
